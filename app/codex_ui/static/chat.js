// Who spoke, in a word: Gradio names a message by all that it says, which is HTML by then.
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
    for (const { target, type } of changes) {
      if (type === "attributes") name(target);
      else target.querySelectorAll?.(".cx-chat [data-testid]").forEach(name);
    }
  };
  const start = () => {
    if (!document.querySelector(".cx-talk")) return setTimeout(start, 100);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributeFilter: ["aria-label"] });
  };
  if (location.pathname === "/chat") start();
})();
