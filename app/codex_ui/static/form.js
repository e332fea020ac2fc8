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
  const begin = () => {
    if (document.body.dataset.page !== "train") return document.body.dataset.page ? undefined : setTimeout(begin, 60);
    new MutationObserver(sync).observe(document.body, { childList: true, subtree: true });
    fetch("/api/warm", { method: "POST" }).catch(() => {});
  };
  begin();

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
