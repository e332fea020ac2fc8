// The parts of a page that change: asked for once a second, put in place, and what a person does to them.
(() => {
  const { poll, json, toast } = window.codex;
  let seen = "";
  let known = {};

  // ---- put in place what is new, keeping the focus and what is open
  const put = (box, html) => {
    if (box._html === html || box.querySelector("[data-hold]")) return;
    const focus = box.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...box.querySelectorAll("details[open][id]")].map((each) => each.id);
    box.innerHTML = html;
    box._html = html;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };
  const fill = (root = document) => root.querySelectorAll("[data-part]").forEach((box) => box.dataset.part in known && put(box, known[box.dataset.part]));

  const address = (name) => {
    const query = new URLSearchParams(location.search);
    query.delete("token");
    query.set("seen", seen);
    return `/api/live/${name}?${query}`;
  };
  // with a problem comes the shell alone; what stood there before is of a run that is gone, say
  const gone = (marks) => {
    const there = new Set(marks.split(",").map((mark) => mark.split(":")[0]));
    return Object.fromEntries(Object.entries(known).map(([part, html]) => [part, there.has(part) ? html : ""]));
  };
  const ask = async () => {
    const told = await json(address(document.body.dataset.page));
    seen = told.seen ?? "";
    known = { ...known, ...told.parts };
    if (told.problems && !told.failed) known = gone(seen);
    fill();
    if (told.problems) say(told.problems);
    else if (document.body.dataset.shows === "problems") document.querySelector("#cx-said")?.remove();
    document.body.dataset.shows = told.problems ? "problems" : "parts";
    return told.done || told.problems ? 5000 : 1000;
  };
  document.addEventListener("codex:lost", () => (seen = ""));
  document.addEventListener("codex:reached", () => (document.querySelectorAll("[data-part]").forEach((box) => delete box._html), fill()));
  const again = () => document.querySelector("[data-shell]")?.dispatchEvent(new Event("codex:ask"));

  // ---- problems stand above the page's content
  const say = (problems) => {
    const before = document.querySelector("#cx-said");
    const words = problems.map((each) => each.text.replaceAll("`", "")).join("");
    if (before?.textContent === words) return;
    before?.remove();
    const box = document.createElement("div");
    box.id = "cx-said";
    box.className = "cx cx-err";
    box.setAttribute("role", "alert");
    for (const each of problems) {
      const line = document.createElement("p");
      each.text.split("`").forEach((part, at) => line.append(at % 2 ? Object.assign(document.createElement("code"), { textContent: part }) : part));
      box.append(line);
    }
    (document.querySelector("#content")?.closest(".block, .cx") ?? document.querySelector("main"))?.after(box);
    box.scrollIntoView({ block: "nearest" });
  };
  window.codex.say = say;

  const send = async (url, body, button) => {
    const label = button?.textContent;
    if (button) Object.assign(button, { disabled: true, textContent: button.dataset.busy ?? label }).setAttribute("aria-busy", "true");
    document.querySelector("#cx-said")?.remove();
    try {
      const told = await json(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      if (told.problems) say(told.problems);
      if (told.say) toast(told.say);
      return told;
    } catch {
      say([{ text: "The app did not answer; expected it to run. Start it again: codex-ui." }]);
      return {};
    } finally {
      if (button) Object.assign(button, { disabled: false, textContent: label }).removeAttribute("aria-busy");
    }
  };

  const dismiss = (box) => {
    box.hidden = true;
    box.removeAttribute("data-hold");
    document.querySelector(`[data-show="${box.id}"]`)?.focus();
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-post],[data-show],[data-dismiss],[data-side]");
    if (!button) return;
    const { post, show, side } = button.dataset;
    if (show) {
      const box = document.getElementById(show);
      box.hidden = false;
      box.setAttribute("data-hold", "");
      return (box.querySelector("input") ?? box.querySelector("button")).focus();
    }
    if (button.dataset.dismiss !== undefined) return dismiss(button.closest(".cx-confirm"));
    if (side) {
      toast(`${button.textContent.trim()} starts; the first time takes some seconds.`);
      const told = await send(`/api/side/${side}`, {});
      if (!told.go) return;
      const tab = window.open(told.go, "_blank");
      if (tab) tab.opener = null;
      else toast(`It is at ${told.go}`);
      return;
    }
    const told = await send(post, JSON.parse(button.dataset.body ?? "{}"), button);
    const box = button.closest(".cx-confirm");
    if (box) dismiss(box);
    if (told.go) location.href = told.go;
    else again();
  });

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-form]");
    if (!form) return;
    event.preventDefault();
    const told = await send(form.dataset.form, Object.fromEntries(new FormData(form)), form.querySelector("button"));
    if (told.problems) return;
    dismiss(form.closest(".cx-confirm"));
    again();
  });

  // ---- fields that are part of the address: search, state, order, ticked runs
  const intoAddress = () => {
    const query = new URLSearchParams(location.search);
    document.querySelectorAll("[data-query]").forEach((each) => (each.value ? query.set(each.name, each.value) : query.delete(each.name)));
    const ticked = [...document.querySelectorAll("input[data-tick]:checked")].map((each) => each.value);
    if (document.querySelector("input[data-tick]")) ticked.length ? query.set("compare", ticked.join(",")) : query.delete("compare");
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    again();
  };
  const fromAddress = () => {
    const query = new URLSearchParams(location.search);
    document.querySelectorAll("[data-query]").forEach((each) => (each.value = query.get(each.name) ?? each.value));
  };
  document.addEventListener("input", (event) => event.target.matches("[data-query],[data-tick]") && intoAddress());
  window.addEventListener("popstate", () => (fromAddress(), again()));

  // ---- begin, and fill parts that come later, such as those of another tab
  const begin = () => {
    const shell = document.querySelector("[data-shell]");
    if (!shell || !document.body.dataset.page) return setTimeout(begin, 30);
    fromAddress();
    poll(shell, ask, 1000);
    new MutationObserver((changes) => {
      document.querySelectorAll(".placeholder-content[role]").forEach((each) => each.removeAttribute("role")); // Gradio calls an empty chat a landmark
      if (changes.some((change) => [...change.addedNodes].some((node) => node.querySelector?.("[data-part]")))) fill(), fromAddress();
    }).observe(document.body, { childList: true, subtree: true });
  };
  begin();
})();
