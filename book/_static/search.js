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

  /** A reader's words for a symptom lead to its section: one that says it all, or several that all belong to it. */
  const filler = new Set("why how what when my i do doe don can should us get is vae model autoencod".split(" "));
  const { performTermsSearch } = Search;
  Search.performTermsSearch = (words, excluded) => {
    const said = [...words].filter((word) => !filler.has(word));
    const { docnames, filenames, titles, symptoms = [] } = Search._index;
    const fits = ([, , , alone, beside, own]) =>
      said.some((word) => alone.includes(word) || (said.length > 1 && own.includes(word))) &&
      said.every((word) => alone.includes(word) || beside.includes(word) || own.includes(word));
    const found = symptoms.filter(fits).map(([page, title, anchor, , , own]) => {
      const score = 30 + (20 * said.filter((word) => own.includes(word)).length) / said.length;
      return [docnames[page], `${titles[page]} > ${title}`, `#${anchor}`, null, Math.round(score), filenames[page]];
    });
    return [...performTermsSearch(words, excluded), ...found];
  };
})();
