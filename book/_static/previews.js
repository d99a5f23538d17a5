/* Previews: while the pointer or the keyboard rests on a link to a term, an equation, an exercise, a figure, a source or
   a check, a card shows what stands there. The pointer may move into the card, and Escape closes it. A finger follows
   the link, as everywhere. The build marks the links with `data-preview` and writes what they show: see
   book/_ext/previews.py. */
"use strict";

const Previews = (() => {
  const OPEN_AFTER = 300, CLOSE_AFTER = 300; // milliseconds: a pointer that only passes by opens nothing
  const GAP = 6, MARGIN = 8; // pixels: from the link to the card, from the card to the edge of the window
  const FOLDER = document.currentScript.src.replace(/[^/]*$/, "previews/");
  const ROOT = new URL(document.documentElement.dataset.content_root, document.baseURI);
  const brought = new Map(); // what the scripts of other pages brought: page → {title, targets}
  const scripts = new Map(); // page → the promise that its script has run
  let card, timer;
  let link; // the one whose card is open, or about to be
  let dismissed = false; // by Escape or a click: then the link has no card until it is left

  // What a link leads to.

  function load(page) {
    if (!scripts.has(page)) {
      const script = document.createElement("script");
      script.src = `${FOLDER}${page}.js`;
      scripts.set(page, new Promise((done) => (script.onload = script.onerror = done)));
      document.head.append(script);
    }
    return scripts.get(page);
  }

  /** A copy of the target, and the title of its page where that is another one; nothing where there is no target. */
  async function lookUp({ href }) {
    const address = new URL(href), id = decodeURIComponent(address.hash.slice(1));
    let target, title;
    if (address.pathname === location.pathname) {
      target = document.getElementById(id);
    } else {
      const page = decodeURIComponent(address.pathname.slice(ROOT.pathname.length)).replace(/\.html$/, "");
      await load(page);
      const inert = document.createElement("template"); // fetches no image before its address is right
      inert.innerHTML = brought.get(page)?.targets[id] ?? "";
      target = inert.content.firstElementChild;
      title = brought.get(page)?.title;
    }
    return target && { content: copy(target, address), title };
  }

  /** A copy without what belongs to its place: ids, roles, buttons, links to itself, addresses relative to its page. */
  function copy(target, address) {
    const node = document.createElement(target.tagName === "DT" ? "dl" : "div");
    const term = target.tagName === "DT" ? [target.nextElementSibling] : [];
    node.append(...[target, ...term].map((part) => part.cloneNode(true)));
    node.querySelectorAll("button, .headerlink, .explorer-live").forEach((part) => part.remove());
    for (const part of node.querySelectorAll("*")) {
      for (const name of ["id", "role", "hidden", "tabindex", "data-preview"]) part.removeAttribute(name);
      for (const name of ["href", "src"]) {
        if (part.hasAttribute(name)) part.setAttribute(name, new URL(part.getAttribute(name), address));
      }
    }
    return node;
  }

  // The card.

  async function open(next) {
    link = next;
    const [found] = await Promise.all([lookUp(next), new Promise((done) => setTimeout(done, OPEN_AFTER))]);
    if (link !== next || dismissed || !found || !rests()) return;
    card ??= document.querySelector("article").appendChild(document.createElement("div"));
    Object.assign(card, { className: "preview", popover: "manual", role: "note", ariaLabel: "Preview" });
    card.replaceChildren(found.content);
    if (found.title) card.insertAdjacentHTML("beforeend", `<p class="preview-page">${found.title}</p>`);
    card.showPopover();
    card.tabIndex = card.scrollHeight > card.clientHeight || card.scrollWidth > card.clientWidth ? 0 : -1;
    place();
  }

  /** Below the link, or above it where there is more room, and inside the window. */
  function place() {
    const at = link.getBoundingClientRect(), { clientWidth, clientHeight } = document.documentElement;
    const below = at.bottom + GAP + card.offsetHeight <= clientHeight - MARGIN || at.top < clientHeight - at.bottom;
    const top = below ? at.bottom + GAP : at.top - GAP - card.offsetHeight;
    const left = Math.max(MARGIN, Math.min(at.left, clientWidth - MARGIN - card.offsetWidth));
    card.style.top = `${top + scrollY}px`;
    card.style.left = `${left + scrollX}px`;
  }

  function dismiss() {
    dismissed = true;
    if (card?.matches(":popover-open")) card.hidePopover();
  }

  function leave() {
    dismiss();
    link = undefined;
  }

  /** Whether the pointer is on the link or its card, or the keyboard's focus. */
  const rests = () => link.matches(":hover, :focus-visible") || card?.matches(":hover, :focus-within");

  function closeUnlessResting() {
    clearTimeout(timer);
    timer = setTimeout(() => link && !rests() && leave(), CLOSE_AFTER);
  }

  function arrive(event) {
    const next = event.target.closest?.("a[data-preview]");
    if (!next && dismissed) link = undefined; // it has been left, and may have its card again
    if (!next || next === link) return closeUnlessResting();
    if (event.pointerType === "touch" || !next.matches(":hover, :focus-visible")) return;
    leave();
    dismissed = false;
    clearTimeout(timer);
    next.removeAttribute("title"); // else the browser would show it upon the card
    open(next);
  }

  if ("popover" in HTMLElement.prototype) {
    document.addEventListener("pointerover", arrive);
    document.addEventListener("focusin", arrive);
    document.addEventListener("focusout", closeUnlessResting);
    document.addEventListener("click", ({ target }) => target.closest("a") && dismiss());
    document.addEventListener("keydown", ({ key }) => key === "Escape" && dismiss());
    addEventListener("resize", dismiss);
  }

  return { add: (page, content) => brought.set(page, content) };
})();
