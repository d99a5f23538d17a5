/* What a reader does beside reading: predicts before a figure is uncovered, steps through a derivation, marks a chapter as
   read. All of it stays in this browser. Without scripts nothing is covered, and derivations stand as a whole. */
"use strict";

(() => {
  // What this browser keeps from page to page; where it keeps nothing, as long as the page is open.

  const KEY = "vae-book";
  const kept = { read: {}, predicted: {}, ask: true };
  try {
    Object.assign(kept, JSON.parse(localStorage.getItem(KEY)));
  } catch {} // no storage, or what lies in it is not ours
  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {}
  }

  const named = (path) => path.split("/").pop().replace(/\.html$/, "");
  const PAGE = named(location.pathname);

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function button(text, pressed) {
    const node = element("button", { type: "button" }, text);
    node.addEventListener("click", pressed);
    return node;
  }

  // Nodes that can be hidden, together. A search in the page, and a link to what lies in them, open them.

  const opening = new Map(); // what opens each node

  function cover(nodes, opened) {
    for (const node of nodes) {
      node.classList.add("covered");
      node.addEventListener("beforematch", opened);
      opening.set(node, opened);
    }
    return nodes;
  }

  function linked() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    let node = target?.closest(".covered[hidden]");
    if (!node) return;
    for (; node; node = target.closest(".covered[hidden]")) opening.get(node)();
    target.scrollIntoView();
  }
  addEventListener("hashchange", linked);
  addEventListener("load", linked);

  const hide = (nodes, hidden) => nodes.forEach((node) => (
    hidden ? node.setAttribute("hidden", "until-found") : node.removeAttribute("hidden")
  ));

  // Predict, commit, see: what stands between a paragraph "Predict." and the next one "Read.", this included, is covered.

  const opens = (node, word) => node.tagName === "P" && node.firstElementChild?.tagName === "STRONG"
    && node.firstChild === node.firstElementChild && node.firstElementChild.textContent === word;

  function answer(prompt) {
    const nodes = [];
    for (let node = prompt.nextElementSibling; node; node = node.nextElementSibling) {
      if (opens(node, "Predict.")) return [];
      nodes.push(node);
      if (opens(node, "Read.")) return nodes;
    }
    return [];
  }

  function covered(prompt, place) {
    const input = element("input", { type: "text", maxlength: 200, autocomplete: "off" });
    const label = element("label", {}, "Your prediction ", input);
    const form = element("form", { class: "prediction" }, label, element("button", { type: "submit" }, "Commit and see"),
      button("Never ask", () => asking(false)));
    const said = element("span", {});
    const done = element("p", { class: "prediction" }, said, " ", button("Ask me again", () => {
      delete kept.predicted[place];
      kept.ask = true;
      asking(true);
      input.focus();
    }));
    const nodes = cover(answer(prompt), () => show(true));
    prompt.after(form, done);
    function show(open) {
      const text = kept.predicted[place];
      hide(nodes, !open);
      form.hidden = open;
      done.hidden = !open;
      said.textContent = text ? `You predicted: ${text}` : "No prediction made.";
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      kept.predicted[place] = input.value.trim();
      keep();
      show(true);
      done.querySelector("button").focus({ preventScroll: true });
    });
    return () => show(!kept.ask || place in kept.predicted);
  }

  const prompts = [...document.querySelectorAll(".bd-article section > p")]
    .filter((node) => opens(node, "Predict.") && answer(node).length)
    .map((node, i) => covered(node, `${PAGE}/${node.closest("section").id}/${i}`));

  function asking(ask) {
    kept.ask = ask;
    keep();
    prompts.forEach((show) => show());
  }
  prompts.forEach((show) => show());

  // Derivations, in sections whose label begins with steps-: a step is a paragraph with the formulas and cells after it.

  for (const mark of document.querySelectorAll(".bd-article section > span[id^='steps-']")) {
    const heading = mark.parentElement.querySelector(":scope > :is(h2, h3)");
    const groups = [];
    for (let node = heading.nextElementSibling; node && node.tagName !== "SECTION"; node = node.nextElementSibling) {
      if (node.matches(".math, .cell, .math-wrapper") && groups.length) groups.at(-1).push(node);
      else groups.push([node]);
    }
    const steps = groups.map((nodes, i) => cover(nodes, () => to(Math.max(i, at))));
    let at = Infinity; // all steps are shown
    const state = element("span", { role: "status" });
    const start = button("Step through", () => (to(0), next.focus()));
    const back = button("Back", () => goTo(Math.max(at - 1, 0)));
    const next = button("Next", () => goTo(at + 1));
    const all = button("Show all", () => (to(Infinity), start.focus()));
    const bar = element("div", { class: "steps", role: "group", "aria-label": "Step by step" }, start, back, next, all, state);
    heading.after(bar);
    /** As a hand does: the step comes into view, its beginning in any case, under the bar that stays (book.css). */
    function goTo(step) {
      to(step);
      for (const node of [steps[step].at(-1), steps[step][0]]) node.scrollIntoView({ block: "nearest" });
    }
    function to(step) {
      at = step < steps.length - 1 ? step : Infinity;
      steps.forEach((nodes, i) => {
        hide(nodes, i > at);
        nodes.forEach((node) => node.classList.toggle("current", i === at));
      });
      bar.classList.toggle("stays", at !== Infinity);
      start.hidden = at !== Infinity;
      for (const node of [back, next, all]) node.hidden = at === Infinity;
      state.textContent = at === Infinity ? "" : `${at + 1} of ${steps.length}`;
    }
    to(Infinity);
  }

  // Chapters that have been read, marked at their end and in the table of contents.

  function marked() {
    for (const link of document.querySelectorAll(".bd-links a")) {
      link.querySelector(".read")?.remove();
      if (kept.read[named(link.pathname)]) link.append(element("span", { class: "read", role: "img", "aria-label": "read" }, " ✓"));
    }
  }

  const end = document.querySelector(".bd-article .admonition.remember");
  if (end) {
    const box = element("input", { type: "checkbox" });
    box.checked = Boolean(kept.read[PAGE]);
    box.addEventListener("change", () => {
      kept.read[PAGE] = box.checked;
      keep();
      marked();
    });
    end.after(element("label", { class: "read-mark" }, box, " I have read this chapter"));
  }
  marked();
})();
