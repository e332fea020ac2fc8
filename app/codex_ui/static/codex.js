// What every page has: the theme, copy buttons, keys, the window's title, asking again and again, toasts.
(() => {
  if (window.codex) return;
  const css = (name) => getComputedStyle(document.body).getPropertyValue(`--cx-${name}`).trim();

  // ---- theme: one class on body, as Gradio has it
  const wanted = () => localStorage.getItem("codex.theme");
  const setTheme = (dark) => {
    document.body.classList.toggle("dark", dark);
    document.documentElement.classList.toggle("dark", dark);
    localStorage.setItem("codex.theme", dark ? "dark" : "light");
  };

  // ---- asking: every `ms`, not while hidden, until the element is gone; `ask` gives how long to wait next
  const poll = (element, ask, ms) => {
    let timer = 0;
    let busy = false;
    let missed = false; // asked for while an answer was on its way, which may be an answer to something else
    const go = async () => {
      clearTimeout(timer);
      if (busy) missed = true;
      if (!element.isConnected || busy) return;
      let wait = ms;
      if (!document.hidden) {
        busy = true;
        try {
          wait = (await ask()) ?? ms;
          reached();
        } catch (error) {
          lost();
        }
        busy = false;
        if (missed) return (missed = false), go();
      }
      timer = setTimeout(go, wait);
    };
    element.addEventListener("codex:ask", go);
    document.addEventListener("visibilitychange", () => document.hidden || go());
    go();
  };

  let since = null;
  const lost = () => {
    since ??= new Date();
    document.body.setAttribute("data-stale", "");
    const strip = document.querySelector(".cx-strip");
    const at = [since.getHours(), since.getMinutes()].map((each) => String(each).padStart(2, "0")).join(":");
    if (strip && !strip.querySelector("[role=alert]")) strip.innerHTML = `<span class="warn" role="alert">The app is not reachable since ${at}; runs go on.</span>`;
    document.dispatchEvent(new CustomEvent("codex:lost"));
  };
  const reached = () => {
    if (since === null) return;
    since = null;
    document.body.removeAttribute("data-stale");
    document.dispatchEvent(new CustomEvent("codex:reached"));
  };

  const json = async (url, options) => {
    const answer = await fetch(url, options);
    if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    const found = await answer.json().catch((error) => {
      if (!(error instanceof SyntaxError)) throw error; // the answer was cut off: the app is gone
    });
    const understood = found !== null && typeof found === "object";
    const told = understood ? found : {};
    // it is there, and something went wrong in it, or something else answers in its place: not the same as being gone, nor as nothing new
    const wrong = !answer.ok ? `an error (${answer.status}); expected this page` : `what is not understood (${answer.status}, no JSON); expected data for this page`;
    if ((!answer.ok && !told.problems) || !understood) Object.assign(told, { failed: true, problems: [{ text: `The app answered with ${wrong}. Its output says more; try again.` }] });
    return told;
  };

  const toast = (text) => {
    const box = document.querySelector(".cx-toasts");
    if (!box) return;
    const line = document.createElement("p");
    line.textContent = text;
    box.append(line);
    setTimeout(() => line.remove(), 6000);
  };

  window.codex = { css, poll, json, toast };

  // ---- clicks
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy],[data-act]");
    if (!button) return;
    if (button.dataset.act === "theme") return setTheme(!document.body.classList.contains("dark"));
    if (button.dataset.copy === undefined) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      const area = document.createElement("textarea");
      area.value = button.dataset.copy;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1200);
  });

  // ---- keys: `/` searches, `g` and a letter goes to a page; never inside a field
  const pages = { h: "/", t: "/train", r: "/runs", c: "/chat", s: "/sessions" };
  let goes = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input,textarea,select,[contenteditable]")) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) event.preventDefault(), search.focus();
    } else if (event.key === "g") goes = Date.now();
    else if (Date.now() - goes < 1500 && pages[event.key]) location.href = pages[event.key];
  });

  // ---- once the page stands
  const settle = () => {
    const shell = document.querySelector("[data-shell]");
    if (!shell) return setTimeout(settle, 30);
    document.documentElement.lang = "en";
    if (document.title === "codex") document.title = `${shell.dataset.title} · codex`;
    if (wanted()) document.body.classList.toggle("dark", wanted() === "dark");
    document.body.dataset.page = shell.dataset.shell;
  };
  document.body ? settle() : document.addEventListener("DOMContentLoaded", settle);
})();
