/* What the page of results shows: excerpts of the prose, if what was asked for is in it, with each formula once; and on
   pages opened from the disk, which must not read each other, none. Sphinx's own search does the rest. */
"use strict";

DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

(() => {
  const asked = (new URLSearchParams(location.search).get("q") ?? "").trim().toLowerCase();
  const remove = (place, selector) => place.querySelectorAll(selector).forEach((part) => part.remove());
  const text = (place) => place.textContent.replace(/\s+/g, " ");

  /** The text of a page, or of the place with this anchor. A formula stands there as HTML, as MathML and as TeX. */
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const place = (anchor && page.getElementById(anchor.slice(1))) || page.querySelector("article");
    remove(place, "script, style, button, .headerlink, .chapter-times, .katex-html, annotation");
    const all = text(place);
    remove(place, "pre");
    const prose = text(place);
    return splitQuery(asked).some((word) => prose.toLowerCase().includes(word)) ? prose : all;
  };

  /** A name or heading that has what was asked for, as whole words, comes before those that have parts of it. */
  const words = (text) => ` ${splitQuery(text.toLowerCase()).join(" ")} `;
  Scorer.score = ([, title, , , score]) =>
    score + (words(title).includes(words(asked)) ? 10 : 0) + (words(title).startsWith(words(asked)) ? 5 : 0);
})();
