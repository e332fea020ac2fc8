// What is wrong with the run form stands beside its fields as well: the panel's list, which the app has escaped, is put there word for word.
(() => {
  const clear = () => {
    document.querySelectorAll(".cx-field-error").forEach((each) => each.remove());
    document.querySelectorAll(".cx-wrong").forEach((field) => {
      field.classList.remove("cx-wrong");
      field.querySelectorAll("[aria-invalid]").forEach((input) => (input.removeAttribute("aria-invalid"), input.removeAttribute("aria-describedby")));
    });
  };
  const mark = (id, words) => {
    const field = document.getElementById(id);
    if (!field) return;
    const line = Object.assign(document.createElement("p"), { className: "cx-field-error", id: `${id}-error`, innerHTML: words });
    field.classList.add("cx-wrong");
    (field.querySelector(".container") ?? field).append(line);
    field.querySelectorAll("input,textarea").forEach((input) => {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", line.id);
    });
  };
  let shown = "";
  const sync = () => {
    const problems = [...document.querySelectorAll("[data-problems] li[data-fields]")];
    const state = JSON.stringify(problems.map((each) => [each.dataset.fields, each.querySelector("span").innerHTML]));
    const lost = problems.length > 0 && document.querySelectorAll(".cx-field-error").length === 0;
    if (state === shown && !lost) return;
    shown = state;
    clear();
    for (const [fields, words] of JSON.parse(state)) fields.split(" ").forEach((id) => mark(id, words));
  };
  // ---- what Start waits for, in words on the button: the form's first values, a file that is read, the run itself
  const waits = new Map();
  const BUTTONS = { form: ["start"], file: ["start", "add-data"], run: ["start"], app: ["start", "add-data"] };
  const labels = {};
  const say = (id, words) => {
    const button = document.getElementById(id);
    const text = [...(button?.childNodes ?? [])].find((each) => each.nodeType === Node.TEXT_NODE && each.data.trim());
    if (!text) return;
    labels[id] ??= text.data;
    if (text.data !== (words ?? labels[id])) text.data = words ?? labels[id]; // Gradio's own node, which it goes on using
    for (const name of ["aria-busy", "aria-disabled"]) words ? button.setAttribute(name, "true") : button.removeAttribute(name);
    button.parentElement.setAttribute("aria-live", "polite");
  };
  const wait = () => {
    document.querySelector(".cx-form")?.toggleAttribute("inert", waits.has("form")); // what is typed before would be overwritten
    for (const id of ["start", "add-data"]) say(id, [...waits].findLast(([what]) => BUTTONS[what].includes(id))?.[1]);
  };
  const hold = (what, words) => (waits.set(what, words), wait());
  const free = (what) => {
    if (what === "file") document.querySelector("#train-said .cx-err")?.scrollIntoView({ block: "nearest" });
    waits.delete(what);
    wait();
  };
  window.codex.free = free;
  const short = (name) => (name.length > 40 ? `${name.slice(0, 26)}…${name.slice(-12)}` : name);

  const look = (changes) => {
    wait();
    sync();
    const failed = (node) => node.matches?.(".toast-body.error") || node.querySelector?.(".toast-body.error");
    if (changes.some(({ addedNodes }) => [...addedNodes].some(failed))) [...waits.keys()].forEach(free); // what was waited for does not come
  };
  const listen = () => {
    if (!window.codexCame?.has("form")) hold("form", "Loading…"); // Gradio loads this file late, perhaps after the values have come
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    fetch("/api/warm", { method: "POST" }).catch(() => {});
    // Before Gradio hears of it, for two clicks in one moment would be two runs.
    document.addEventListener(
      "click",
      (event) => {
        const id = event.target.closest("#start, #add-data")?.id;
        if (!id) return;
        if ([...waits.keys()].some((what) => BUTTONS[what].includes(id))) event.preventDefault(), event.stopImmediatePropagation();
        else if (id === "start" && !event.target.closest(":disabled")) hold("run", "Checking the data…");
      },
      true,
    );
    document.addEventListener("change", ({ target }) => target.type === "file" && target.files.length && hold("file", `Checking ${short(target.files[0].name)}…`), true);
    document.addEventListener("codex:lost", () => hold("app", "The app is not reachable"));
    document.addEventListener("codex:reached", () => free("app"));
    window.addEventListener("pageshow", (event) => event.persisted && free("run")); // back from the run's page
  };
  if (/^\/train\/?$/.test(location.pathname)) listen();

  // Gradio hears a text field by its key presses alone: what is pasted, cut, deleted or undone, and what a phone writes, would not count.
  let pressed = false;
  document.addEventListener("keypress", (event) => (pressed = event.isTrusted), true);
  document.addEventListener(
    "input",
    (event) => {
      if (!pressed && event.target.matches("[data-testid='textbox']")) event.target.dispatchEvent(new KeyboardEvent("keypress"));
      pressed = false;
    },
    true,
  );
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-problems] a[href^='#f-']");
    if (!link) return;
    event.preventDefault();
    const field = document.querySelector(link.getAttribute("href"));
    field?.scrollIntoView({ block: "center" });
    field?.querySelector("input,textarea")?.focus();
  });
})();
