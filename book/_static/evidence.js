/* The page of evidence: the checks that a reader asks for, by words, by chapter and by kind. Without this script all of
   them are there, folded by chapter. On paper they are unfolded. */
"use strict";

(() => {
  const chapters = [...document.querySelectorAll("details.evidence-chapter")];
  const kindOf = (details) => details.id.split("-")[0]; // claims or mistakes
  const nameOf = (details) => details.firstElementChild.textContent.replace(/ \(\d+\)$/, "");
  const rows = chapters.flatMap((details) => [...details.querySelectorAll("tbody tr")].map((row) => (
    { row, details, kind: kindOf(details), chapter: nameOf(details), text: row.textContent.toLowerCase() })));

  const form = document.createElement("form");
  form.className = "evidence-filter";
  form.ariaLabel = "Which checks are shown";
  form.innerHTML = `<label>Words <input type="search" name="words" autocomplete="off"></label>
    <label>Chapter <select name="chapter"><option value="">All</option></select></label>
    <label>Kind <select name="kind"><option value="">All</option><option value="claims">Claims</option>
      <option value="mistakes">Wrong versions, caught</option></select></label>
    <button type="button">Unfold all</button><p role="status"></p>`;
  const { words, chapter, kind } = form.elements, button = form.querySelector("button");
  chapter.append(...[...new Set(chapters.map(nameOf))].map((name) => new Option(name)));
  document.querySelector(".evidence-summary").after(form);

  function show() {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (one) => (!kind.value || one.kind === kind.value) && (!chapter.value || one.chapter === chapter.value)
      && asked.every((word) => one.text.includes(word));
    const found = new Set();
    let count = 0;
    for (const one of rows) {
      one.row.hidden = !fits(one);
      if (one.row.hidden) continue;
      found.add(one.details);
      count += 1;
    }
    for (const details of chapters) {
      details.hidden = !found.has(details);
      details.open = found.has(details) && Boolean(asked.length || chapter.value);
    }
    name();
    form.querySelector("p").textContent = count < rows.length ? `${count} of ${rows.length} checks` : "";
  }

  const folded = () => chapters.some((details) => !details.hidden && !details.open);
  const name = () => (button.textContent = folded() ? "Unfold all" : "Fold all");
  const unfold = (open) => chapters.forEach((details) => (details.open = open && !details.hidden));

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  button.addEventListener("click", () => unfold(folded()));
  chapters.forEach((details) => details.addEventListener("toggle", name));
  let before = [];
  addEventListener("beforeprint", () => ((before = chapters.map(({ open }) => open)), unfold(true)));
  addEventListener("afterprint", () => chapters.forEach((details, i) => (details.open = before[i])));
  const asked = document.getElementById(location.hash.slice(1));
  if (chapters.includes(asked)) asked.open = true;
})();
