/* The search: as one types, the places that answer, best first, below the field. The build lists all places of the book
   in searchindex.js (book/_ext/search_index.py), a script, so that pages opened from the disk can read it, too. It is
   loaded once, when a reader turns to the search; from then on no key asks the server for anything. */
"use strict";

const Search = (() => {
  const ROOT = new URL(document.documentElement.dataset.content_root, document.baseURI);
  const FILLER = new Set(`a an and are at be can do does doesn for from get how i in is it its model my of on or should
    so the that there this to us vae vaes was we what when where which while why with without you autoencoder`
    .split(/\s+/));
  const WORTH = { chapter: 1.6, section: 1, term: 1.15, symbol: 1.1, theorem: 0.9, exercise: 0.65, source: 0.6 };
  const OTHER = 0.8; // pages without a number, functions and classes
  const EXCERPT = 170; // characters
  let entries, known, twins, loading;

  // The places of the book, in small letters and between spaces, as they are compared.

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const wordsOf = (text) => plain(text).match(/[\p{L}\p{N}_]+/gu) ?? [];
  const spaced = (text) => ` ${wordsOf(text).join(" ")} `;

  function read({ pages, places, code, alike }) {
    entries = places.map(([number, kind, anchor, title, text, leads], place) => {
      const [address, page] = pages[number], isPage = kind === "page";
      const called = isPage ? page.replace(/^[\d.]+ /, "") : title;
      const [alone, beside = ""] = leads.split("|");
      return {
        place, page, text, title: isPage ? page : title,
        kind: isPage && called !== page ? "chapter" : kind,
        url: new URL(address + (anchor && `#${anchor}`), ROOT),
        named: spaced(`${called} ${called.replace(/[._]/g, " ")}`), length: wordsOf(called).length,
        alone: spaced(alone), beside: spaced(beside), said: spaced(text), code: new Set(),
      };
    });
    for (const [word, found] of Object.entries(code)) found.forEach((place) => entries[place].code.add(word));
    known = [...new Set([...Object.keys(code), ...entries.flatMap(({ named, said }) => `${named}${said}`.split(" "))])];
    twins = new Map();
    for (const group of alike.map(wordsOf)) {
      for (const word of group) twins.set(word, [...(twins.get(word) ?? []), ...group]);
    }
  }

  function load() {
    loading ??= new Promise((done) => {
      const script = document.createElement("script");
      script.src = new URL("searchindex.js", ROOT);
      script.onload = script.onerror = done;
      document.head.append(script);
    });
    return loading;
  }

  // What is asked for: of each word all its forms, whole, and the beginning that they share with others.

  const ENDING = /(?<=.{4})(?:ations?|ings?|edly|ed|ies|es|s|e|y|ly)$/;
  const stem = (word) => word.replace(ENDING, "");

  /** Whether words differ by one letter that is wrong, missing or too many, or by two that changed places. */
  function near(one, other) {
    let i = 0;
    while (i < one.length && one[i] === other[i]) i += 1;
    const same = (skipped, skippedThere) => one.slice(i + skipped) === other.slice(i + skippedThere);
    const swapped = one[i] === other[i + 1] && one[i + 1] === other[i];
    return same(1, 1) || same(1, 0) || same(0, 1) || (swapped && same(2, 2));
  }

  const isBegun = (beginning) => known.some((other) => other.startsWith(beginning));
  const meant = (word) => known.filter((other) => near(word, other));

  function asked(text) {
    const all = wordsOf(text), telling = all.filter((word) => !FILLER.has(word));
    return [...new Set(telling.length ? telling : all)].map((word) => {
      const spelled = [word, word.replace(/s$/, ""), word.replace("parametri", "parameteri"),
        word.replace(/is(?=(?:e[drs]?|ing|ations?)$)/, "iz")];
      const alike = spelled.flatMap((form) => twins.get(form) ?? []);
      const isSlip = word.length > 3 && !alike.length && !spelled.map(stem).some(isBegun); // else the book has it
      const forms = new Set([word, ...spelled.slice(2), ...alike, ...(isSlip ? spelled.flatMap(meant) : [])]);
      return [...forms].map((form) => ({ form, whole: ` ${form} `, begun: ` ${stem(form)}` }));
    });
  }

  // How well a place answers.

  const has = (field, { whole, begun }) => (field.includes(whole) ? 1 : field.includes(begun) ? 0.75 : 0);

  function times(text, part) {
    let count = 0;
    for (let at = text.indexOf(part); at >= 0 && count < 20; at = text.indexOf(part, at + part.length - 1)) count += 1;
    return count;
  }

  /** What a place has of one word: in its title or in words that lead to it, or else in its text or its programs. */
  function fit(entry, forms) {
    const best = (value) => Math.max(...forms.map(value));
    const frequent = (count) => (4 * count) / (count + 1 + entry.said.length / 2000);
    const titled = best((one) => Math.max(8 * has(entry.named, one), 7 * has(entry.alone, one)));
    const said = best(({ whole, begun }) => frequent(times(entry.said, whole) || 0.7 * times(entry.said, begun)));
    const coded = forms.some(({ form }) => entry.code.has(form)) ? 1 : 0;
    return { titled, own: Math.max(titled, said, coded), beside: 6 * best((one) => has(entry.beside, one)) };
  }

  function find(text) {
    const words = asked(text), phrase = spaced(text), found = [];
    if (!words.length) return { words, found };
    const fits = words.map((forms) => entries.map((entry) => fit(entry, forms)));
    const rarity = fits.map((all) => Math.log(1 + entries.length / (1 + all.filter(({ own }) => own).length)));
    const sum = (value) => rarity.reduce((total, rare, i) => total + rare * value(i), 0);
    for (const entry of entries) {
      const row = fits.map((all) => all[entry.place]);
      const joined = words.length > 1 && row.some(({ titled }) => titled); // only then do words lead to it beside others
      const worth = row.map(({ own, beside }) => (joined ? Math.max(own, beside) : own));
      const covered = sum((i) => (worth[i] ? 1 : 0)) / sum(() => 1);
      if (covered < 0.5) continue;
      const inTitle = words.filter((forms) => forms.some((one) => has(entry.named, one))).length;
      const led = (by, forms) => forms.some(({ whole }) => by.includes(whole));
      const leads = words.some((forms) => led(entry.alone, forms))
        && words.every((forms) => led(entry.alone + entry.beside, forms));
      let score = sum((i) => worth[i]) * covered ** 2 * (WORTH[entry.kind] ?? OTHER);
      score *= 1 + 0.5 * (leads ? 1 : Math.min(1, inTitle / entry.length));
      if (entry.named.startsWith(phrase)) score *= 1.3;
      if (words.length > 1 && (entry.said + entry.named).includes(phrase)) score *= 1.2;
      found.push({ entry, score });
    }
    return { words, found: apart(found).map(({ entry }) => entry) };
  }

  /** Best first; a second and a third section of one page give way to other pages. */
  function apart(found) {
    const sorted = () => found.sort((a, b) => b.score - a.score || a.entry.place - b.entry.place);
    const seen = new Map();
    for (const one of sorted().filter(({ entry }) => entry.kind === "section")) {
      const before = seen.get(one.entry.page) ?? 0;
      seen.set(one.entry.page, before + 1);
      one.score *= 0.8 ** before;
    }
    return sorted();
  }

  // What is shown.

  function make(tag, className, ...content) {
    const element = Object.assign(document.createElement(tag), { className });
    element.append(...content);
    return element;
  }

  /** A text with its words that answer marked. */
  function marked(text, pattern) {
    const parts = text.split(pattern); // every second one is a word that was looked for
    return parts.map((part, i) => (i % 2 ? make("mark", "", part) : part));
  }

  function item(entry, words) {
    const begun = words.flatMap((forms) => forms.map((one) => one.begun.slice(1))).sort((a, b) => b.length - a.length);
    const pattern = new RegExp(`(?<![\\p{L}\\p{N}_])((?:${begun.join("|")})[\\p{L}\\p{N}_]*)`, "giu");
    const { text } = entry, at = Math.max(text.search(pattern), 0);
    const from = at < EXCERPT / 2 ? 0 : text.lastIndexOf(" ", at - EXCERPT / 3) + 1;
    const until = from + EXCERPT < text.length ? text.lastIndexOf(" ", from + EXCERPT) : text.length;
    const link = make("a", "", ...marked(entry.title, pattern));
    link.href = entry.url;
    const where = entry.kind === "chapter" || entry.kind === "page" ? entry.kind : `${entry.kind}, in ${entry.page}`;
    const excerpt = [from ? "… " : "", ...marked(text.slice(from, until), pattern), until < text.length ? " …" : ""];
    return make("li", "", link, " ", make("small", "", where), make("p", "", ...excerpt));
  }

  function answer(text, list, status, limit) {
    const { words, found } = text && entries ? find(text) : { found: [] };
    list.replaceChildren(...found.slice(0, limit).map((entry) => item(entry, words)));
    status.textContent = !text ? "" : !entries ? "The list of what can be found did not load."
      : found.length <= limit ? `${found.length || "Nothing"} found` : `${found.length} found, the best ${limit}:`;
    list.dataset.asked = text;
  }

  for (const form of document.querySelectorAll("form.bd-search")) {
    const field = form.elements.q, isPage = form.parentElement.querySelector("#search-results") !== null;
    const list = make("ol", ""), status = make("p", "");
    status.role = "status";
    form.after(make("div", "found", status, list));
    const update = () => load().then(() => answer(field.value.trim(), list, status, isPage ? 50 : 10));
    field.addEventListener("focus", load);
    field.addEventListener("input", update);
    form.parentElement.addEventListener("keydown", (event) => {
      const stops = [field, ...list.querySelectorAll("a")], here = stops.indexOf(document.activeElement);
      const next = stops[here + ({ ArrowDown: 1, ArrowUp: -1 }[event.key] ?? NaN)];
      if (here < 0 || !next) return;
      event.preventDefault();
      next.focus();
    });
    if (isPage) {
      form.addEventListener("submit", (event) => event.preventDefault());
      field.value = new URLSearchParams(location.search).get("q") ?? "";
      if (field.value) update();
    }
  }

  return { read };
})();
