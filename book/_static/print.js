/* Paper is white: a page prints in the light colors, also for who reads in the dark. */
"use strict";

(() => {
  const { dataset } = document.documentElement;
  let shown;
  addEventListener("beforeprint", () => ([shown, dataset.theme] = [dataset.theme, "light"]));
  addEventListener("afterprint", () => (dataset.theme = shown));
})();
