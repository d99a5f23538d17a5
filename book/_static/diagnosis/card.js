/* The card of the diagnosis: a question, a place to type, examples, a verdict. What judges is logic.js. */
"use strict";

Explorers.panel.mount("diagnosis", "Diagnosis", ["../diagnosis/logic"], (live, place) => {
  const { button, change, element } = Explorers.panel;
  const { catalogue } = Explorers;
  const ALL = "sigma, var and log_sigma are there as well";
  const QUESTIONS = { // what stands on the card; everything that judges comes from the package
    kl: {
      title: "KL to the standard normal", room: "mu and log_var of shape (B, L)", examples: [
        "0.5 * (mu**2 + sigma - 1 - log_var).sum(-1)",
        "-0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)",
        "-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp())",
        "safe = log_var.clamp(-10, 10)\nreturn 0.5 * (mu**2 + safe.exp() - 1 - safe).sum(-1)",
      ],
    },
    sample: {
      title: "reparameterized sampler", room: "mu and log_var of shape (B, L), eps of shape (B, L) or (K, B, L)", examples: [
        "std = torch.exp(log_var)\nreturn mu + std * eps",
        "mu + eps * sigma.detach()",
        "std = torch.exp(0.5 * logvar)\neps = torch.randn_like(std)\nreturn mu + eps * std",
        "mu + sigma * eps[..., :1, :]",
      ],
    },
    log_normal: {
      title: "log-density of a diagonal Gaussian", room: "x, mu and log_var of shape (B, D)", examples: [
        "-0.5 * (log_var + (x - mu)**2 / var).sum(-1)",
        "-0.5 * (math.log(2 * math.pi) + log_var + (x - mu)**2 / sigma).sum(-1)",
        "-0.5 * np.sum(np.log(2 * np.pi) + log_var + ((x - mu) / sigma)**2, axis=1)",
        "-0.5 * (math.log(2 * math.pi) + log_var + (x - mu)**2 / (var + 1e-4)).sum(-1)",
      ],
    },
  };
  const VERDICTS = { pass: "✓ pass", fail: "✗ fail", yours: "○ yours", unread: "○ not run" };
  let question = Object.keys(QUESTIONS).find((name) => place.classList.contains(`question-${name.replace("_", "-")}`));

  const choices = Object.entries(QUESTIONS).map(([name, { title }]) => button(title, () => ask(name), { "data-question": name }));
  const room = element("span", { class: "explorer-hint", id: "diagnosis-room" });
  const code = element("textarea", {
    rows: 4, spellcheck: false, autocapitalize: "off", autocomplete: "off", "aria-label": "The body of your function", placeholder: "an expression, or lines that end in return", "aria-describedby": "diagnosis-room",
  });
  const examples = element("span", { class: "explorer-buttons", role: "group", "aria-label": "Examples" });
  const shown = element("div", { class: "diagnosis-verdict", role: "status" });

  function ask(name) {
    question = name;
    choices.forEach((node) => change(node, { "aria-pressed": node.dataset.question === name }));
    room.textContent = `${QUESTIONS[name].room}; ${ALL}.`;
    examples.replaceChildren(...QUESTIONS[name].examples.map((text, i) =>
      button("ABCD"[i], () => { write(text); code.focus(); }, { "aria-label": `Example ${"ABCD"[i]}` })));
    write("");
  }

  function write(text) {
    code.value = text;
    waiting();
  }

  /** No verdict stands beside a text that it is not about. */
  function waiting() {
    const { check, claim } = catalogue.questions[question];
    const typed = "Will it pass? Bet, then press Check.";
    const empty = "Write the body of a function, or take an example: one of the four is right. Which?";
    card("yours", VERDICTS.yours, claim, `${check} judges this. ${code.value.trim() ? typed : empty}`);
  }

  /** As the book's cards are; what is said already is not said again. */
  function card(kind, verdict, claim, measured, mistake = "") {
    const whole = (part) => (/e-\d/.test(part) ? element("span", { class: "unbroken" }, part) : part);
    const line = (name, text) => (text ? [element("div", { class: name }, ...text.split(/(\S*\de-\d+)/).map(whole))] : []);
    const said = element("div", { class: `check check-${kind}` },
      element("div", {}, element("span", { class: "check-verdict" }, verdict), " ", element("span", { class: "check-claim" }, claim)),
      ...line("check-measurement", measured), ...line("check-mistake", mistake));
    if (!shown.firstChild?.isEqualNode(said)) shown.replaceChildren(said);
  }

  function check() {
    const found = Explorers.judge.judge(question, code.value);
    const { check: name, claim, routes } = catalogue.questions[question];
    const { general } = Explorers.naming;
    if (found.verdict === "yours") return waiting();
    const number = (value) => (value >= 10 && value < 1e6 ? value.toFixed(1) : general(value, 2));
    const relation = found.verdict === "pass" ? "≤" : "against an allowed";
    const measured = Number.isNaN(found.gap) ? "nothing could be measured" : `gap ${number(found.gap)} ${relation} ${number(catalogue.tolerance)} ${found.unit}`;
    const kind = found.verdict === "unread" ? "yours" : found.verdict;
    const numpy = found.numpy && found.verdict === "pass" ? `NumPy carries no gradient: ${name} passes the same lines in PyTorch.` : "";
    card(kind, VERDICTS[found.verdict], claim, found.verdict === "unread" ? "" : `${routes.join(" against ")}: ${measured}`.trim(), found.mistake || numpy);
  }

  code.addEventListener("input", waiting);
  code.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) check();
  });
  live.append(
    element("div", { class: "explorer-buttons", role: "group", "aria-label": "What the function computes" }, ...choices),
    element("div", { class: "diagnosis-code" }, code, room),
    element("div", { class: "diagnosis-row" }, button("Check", check, { class: "diagnosis-check" }), element("span", {}, "examples"), examples),
    shown,
  );
  ask(question);
});
