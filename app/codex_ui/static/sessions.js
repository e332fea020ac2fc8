// The Sessions page: filters and the open session are the address; a session grows while it is looked at; ratings, notes, better answers.
(() => {
  const { poll, json, say } = window.codex;
  const PAUSE_MS = 200; // after the last key of a search
  const NEAR_PX = 60; // of the end, where new events come in by themselves
  const MOST_ROWS = 600; // after which a growing timeline begins anew with its newest events
  let root;
  let shown = ""; // what the article shows
  let typing = 0;

  const query = () => new URLSearchParams(location.search);
  const article = () => root.querySelector("[data-session]");
  const line = () => article().querySelector(".cx-tl");
  const fields = () => [...root.querySelectorAll("[data-filter]")];
  const again = () => document.querySelector("[data-shell]")?.dispatchEvent(new Event("codex:ask"));
  const api = (session, rest = "") => `/api/sessions/${encodeURIComponent(session)}${rest}`;

  // ---- the address is the state
  const go = (url, replace = false) => {
    if (url !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", url);
    return settle();
  };
  const settle = (event) => {
    const asked = query();
    const tab = asked.get("tab") === "sql" ? "sql" : "list";
    root.querySelectorAll("[data-tab]").forEach((each) => (each.hidden = each.dataset.tab !== tab));
    root.querySelectorAll("[data-view]").forEach((each) => (each.dataset.view === tab ? each.setAttribute("aria-current", "page") : each.removeAttribute("aria-current")));
    fields().forEach((each) => (event || each !== document.activeElement) && (each.value = asked.get(each.name) ?? "")); // not while it is typed into
    const more = root.querySelector(".cx-morefilters");
    const active = [...more.querySelectorAll("[data-filter]")].filter((each) => each.value).length;
    more.querySelector("[data-active]").textContent = active ? ` (${active})` : "";
    if (active && !shown) more.open = true;
    root.querySelector(".cx-sess").toggleAttribute("data-open", asked.has("s"));
    root.toggleAttribute("data-reading", tab === "list" && asked.has("s"));
    root.dispatchEvent(new CustomEvent("codex:tab", { detail: tab }));
    again();
    return tab === "list" ? open(asked) : undefined;
  };
  const filter = (push) => {
    clearTimeout(typing);
    const asked = query();
    fields().forEach((each) => (each.value.trim() ? asked.set(each.name, each.value.trim()) : asked.delete(each.name)));
    asked.delete("p");
    if (`${asked}` === `${query()}`) return;
    go(`${location.pathname}${asked.size ? `?${asked}` : ""}`, !push);
  };

  // ---- one session
  const open = async (asked) => {
    const [session, event] = [asked.get("s"), asked.get("e")];
    const place = JSON.stringify(["s", "from", "before", "e"].map((name) => asked.get(name)));
    if (place === shown) return;
    const [was, before] = [JSON.parse(shown || "[]"), shown];
    const same = was[0] === session;
    shown = place;
    if (!session) {
      article().innerHTML = '<section class="cx-empty"><h2>No session is open</h2><p>Choose one of the list to read it.</p></section>';
      return;
    }
    const row = same && event !== null && document.getElementById(`e-${event}`);
    const inside = asked.get("from") === null && asked.get("before") === null;
    if (row && (inside || (asked.get("from") === was[1] && asked.get("before") === was[2]))) return point(row);
    article().setAttribute("aria-busy", "true");
    const told = await json(api(session, `?${asked}`)).catch(() => ({ problems: [{ text: "The app did not answer; expected it to run. Start it again: codex-ui." }] }));
    if (shown !== place) return;
    article().setAttribute("aria-busy", "false");
    if (told.problems) return wrong(told.problems);
    article().innerHTML = told.html;
    scale();
    const found = event !== null && document.getElementById(`e-${event}`);
    if (found) point(found);
    else if (asked.get("before") === "end") line()?.lastElementChild.scrollIntoView({ block: "end" });
    else if (before || matchMedia("(max-width: 760px)").matches) reveal(same);
  };
  const wrong = (problems) => {
    const box = document.createElement("div");
    box.className = "cx-err";
    box.setAttribute("role", "alert");
    problems.forEach((each) => box.append(Object.assign(document.createElement("p"), { textContent: each.text.replaceAll("`", "") })));
    article().replaceChildren(Object.assign(document.createElement("p"), { className: "cx-back", innerHTML: '<a href="/sessions" id="back">Back to the list</a>' }), box);
  };
  const point = (row) => {
    root.querySelectorAll(".cx-tl .at").forEach((each) => each.classList.remove("at"));
    row.classList.add("at");
    row.querySelector(":scope > .x > details:not(.rest)")?.setAttribute("open", "");
    row.scrollIntoView({ block: "center" });
  };
  const reveal = (same) => {
    const top = (same ? line() ?? article() : article()).getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) scrollBy(0, top - 76);
  };
  // bars are as long as the largest value that is shown says
  const scale = () => {
    const list = line();
    for (const name of ["lat", "tok"]) {
      const values = [...(list?.children ?? [])].map((each) => parseFloat(each.style.getPropertyValue(`--${name}`)) || 0);
      list?.style.setProperty(`--${name}-most`, Math.max(1, ...values));
    }
  };

  // ---- it grows: at its end new events come in below, elsewhere a button says how many there are
  const atEnd = (list) => !list.hasAttribute("data-later") && list.getBoundingClientRect().bottom < innerHeight + NEAR_PX;
  const grow = async () => {
    const [session, list, button] = [query().get("s"), line(), article().querySelector("[data-new]")];
    if (!session || !list || article().closest("[hidden]")) return 1000;
    const here = atEnd(list);
    const told = await json(api(session, `/since?position=${list.dataset.next}&count=${!here}`));
    if (list !== line() || told.problems) return 1000;
    if (told.new && here) return add(list, told, true);
    button.hidden = !told.new;
    const words = `${told.new.toLocaleString("en")} new event${told.new === 1 ? "" : "s"}`;
    if (told.new && button.textContent !== words) button.textContent = words;
    return 1000;
  };
  const add = (list, told, stay) => {
    const first = list.children.length;
    const follow = !stay || (scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - NEAR_PX);
    list.insertAdjacentHTML("beforeend", told.html);
    list.dataset.next = told.next;
    if (told.head) article().querySelector("[data-head]").innerHTML = told.head;
    scale();
    if (list.children.length > MOST_ROWS) go(`/sessions?s=${encodeURIComponent(query().get("s"))}&before=end`, true);
    else if (follow) (stay ? list.lastElementChild : list.children[first])?.scrollIntoView({ block: stay ? "end" : "start" });
    return told.new > list.children.length - first ? 0 : 1000;
  };
  const showNew = async (button) => {
    const list = line();
    if (list.hasAttribute("data-later")) return go(article().querySelector("#newest").getAttribute("href"));
    const told = await json(api(query().get("s"), `/since?position=${list.dataset.next}`));
    button.hidden = true;
    if (told.new) add(list, told, false);
  };

  // ---- what people say of an event
  const tell = async (row, body, focus) => {
    const told = await json(api(query().get("s"), `/events/${row.dataset.seq}`), {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    }).catch(() => ({ problems: [{ text: "The app did not answer; expected it to run. Start it again: codex-ui." }] }));
    if (told.problems) return say(told.problems);
    const opened = [...row.querySelectorAll("details[open]")].map((each) => each.id);
    row.outerHTML = told.html;
    opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    document.getElementById(focus)?.focus({ preventScroll: true });
    again();
  };
  const ask = async (row, what, button) => {
    const before = row.querySelector(".cx-say");
    before?.remove();
    if (before?.dataset.what === what) return;
    const form = document.getElementById(`cx-say-${what}`).content.firstElementChild.cloneNode(true);
    form.dataset.what = what;
    form.dataset.back = button.id;
    const field = form.querySelector("textarea");
    field.value = (what === "note" && row.querySelector("[data-note]")?.textContent) || "";
    field.readOnly = what === "edit"; // until it is there: what is typed meanwhile must not be keys of the page
    row.querySelector(".x").append(form);
    field.focus({ preventScroll: true });
    form.scrollIntoView({ block: "nearest" });
    if (what === "note") return;
    const told = await json(api(query().get("s"), `/events/${row.dataset.seq}`));
    if (told.problems) return say(told.problems);
    field.value = told.said.edit || told.event.content;
    field.readOnly = false;
  };
  const cancel = (form) => {
    form.remove();
    document.getElementById(form.dataset.back)?.focus({ preventScroll: true });
  };

  const clicked = (event) => {
    const link = event.target.closest("a[href^='/sessions'], a[data-at]");
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);
    if (link && plain && root.contains(link)) {
      event.preventDefault();
      if (!link.dataset.at) return go(link.getAttribute("href"));
      const asked = query();
      ["from", "before"].forEach((name) => asked.delete(name));
      asked.set("e", link.dataset.at);
      return go(`/sessions?${asked}`);
    }
    const button = event.target.closest("button");
    const row = button?.closest(".cx-tl > li");
    if (button?.dataset.new !== undefined) return showNew(button);
    if (button?.dataset.rate) return tell(row, { rating: button.ariaPressed === "true" ? 0 : +button.dataset.rate }, button.id);
    if (button?.dataset.say) return ask(row, button.dataset.say, button);
    if (button?.dataset.cancel !== undefined) return cancel(button.closest(".cx-say"));
  };
  const submitted = (event) => {
    const form = event.target.closest(".cx-say");
    if (!form) return;
    event.preventDefault();
    tell(form.closest("li"), Object.fromEntries(new FormData(form)), form.dataset.back);
  };

  const begin = () => {
    root = document.querySelector("[data-sessions]");
    if (document.body.dataset.page && document.body.dataset.page !== "sessions") return;
    if (!root || !document.body.dataset.page) return setTimeout(begin, 30);
    root.addEventListener("click", clicked);
    root.addEventListener("submit", submitted);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target.closest(".cx-say")) cancel(event.target.closest(".cx-say"));
      if (event.key === "Enter" && event.target.matches("[data-filter]")) filter(true);
    });
    root.addEventListener("input", (event) => {
      if (!event.target.matches("input[data-filter='']")) return;
      clearTimeout(typing);
      typing = setTimeout(() => filter(false), PAUSE_MS);
    });
    root.addEventListener("change", (event) => event.target.matches("select[data-filter], [data-filter=enter]") && filter(true));
    window.addEventListener("popstate", settle);
    settle();
    poll(article(), grow, 1000);
  };
  begin();
})();
