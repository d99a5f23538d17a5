/* What scrolls sideways can be reached and scrolled by keys: formulas, code and figures, also when they are unfolded later. */
"use strict";

(() => {
  const stops = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll(".katex-display, .bd-article pre, .bd-article figure").forEach((node) => stops.observe(node));
})();
