/* A folded solution's button is named as its bar is. What scrolls can be reached and scrolled by keys: formulas, code,
   tables and figures, also when they are unfolded or laid out later. The page that a link leads to is fetched when the
   pointer comes to the link, before it is pressed. */
"use strict";

addEventListener("DOMContentLoaded", () => {  // the buttons are there
  for (const button of document.querySelectorAll(".admonition-title > .toggle-button")) {
    const bar = button.parentElement.cloneNode(true);
    bar.querySelectorAll("button, .katex-html, annotation").forEach((node) => node.remove());
    button.setAttribute("aria-label", bar.textContent.replace(/\s+/g, " ").trim());
  }
});

(() => {
  const boxes = ".katex-display, .bd-article :is(pre, figure, .cell_output > .output, .pst-scrollable-table-container)";
  const stops = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll(boxes).forEach((node) => stops.observe(node));
})();

if (location.protocol !== "file:") {
  const asked = new Set([location.pathname]);
  document.addEventListener("pointerover", ({ target }) => {
    const link = target.closest("a[href]");
    if (!link || link.origin !== location.origin || !link.pathname.endsWith(".html") || asked.has(link.pathname)) return;
    asked.add(link.pathname);
    const hint = document.createElement("link");
    Object.assign(hint, { rel: "prefetch", href: link.pathname });
    document.head.append(hint);
  });
}
