/* What scrolls sideways can be reached and scrolled by keys: formulas and code, also when they are unfolded later. */
"use strict";

(() => {
  const stops = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll(".katex-display, .bd-article pre").forEach((node) => stops.observe(node));
})();
