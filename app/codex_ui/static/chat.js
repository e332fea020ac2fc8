// Who spoke, in a word, for Gradio names a message by all that it says, which is HTML by then; and what is typed and not sent yet.
(() => {
  const NAMES = { user: "You", bot: "Answer" };
  const name = (message) => {
    const wanted = NAMES[message.dataset.testid];
    if (wanted && message.getAttribute("aria-label") !== wanted) {
      message.setAttribute("role", "group");
      message.setAttribute("aria-label", wanted);
    }
  };
  const look = (changes) => {
    document.querySelectorAll(".cx-chat [role=log]:not([tabindex])").forEach((each) => (each.tabIndex = 0)); // a long one scrolls by keys too
    for (const { target, type } of changes) {
      if (type === "attributes") name(target);
      else target.querySelectorAll?.(".cx-chat [data-testid]").forEach(name);
    }
  };
  const start = () => {
    if (!document.querySelector(".cx-talk")) return setTimeout(start, 100);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-label"] });
  };
  // ---- a message that is being typed outlives a reload, the one among them that follows when the app was started again
  const KEPT = "codex.message";
  const field = () => document.querySelector("#chat-message textarea");
  const keep = () => (field()?.value ? sessionStorage.setItem(KEPT, field().value) : sessionStorage.removeItem(KEPT));
  const giveBack = () => {
    const box = field();
    if (!box) return setTimeout(giveBack, 100);
    if (!box.value) {
      box.value = sessionStorage.getItem(KEPT) ?? "";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
    window.addEventListener("pagehide", keep);
  };
  if (location.pathname === "/chat") start(), giveBack();
})();
