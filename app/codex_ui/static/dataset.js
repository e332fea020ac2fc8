// "Make a data set": what it would be follows what is chosen; then it is written.
(() => {
  const { json } = window.codex;
  const gone = { problems: [{ text: "The app did not answer; expected it to run. Start it again: codex-ui." }] };
  let form;
  let asking = 0;

  const post = (url, body) =>
    json(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }).catch(() => gone);
  const filters = () => Object.fromEntries(new URLSearchParams(location.search));
  const asked = () => ({
    filters: filters(),
    session: form.from.value === "open" ? (filters().s ?? "") : "",
    kind: form.kind.value,
    min_rating: +form.min_rating.value,
  });
  const say = (html, problems) => {
    const box = form.querySelector("[data-preview]");
    if (!problems) return (box.innerHTML = html);
    box.replaceChildren(...problems.map((each) => Object.assign(document.createElement("p"), { className: "tag-bad", textContent: each.text.replaceAll("`", "") })));
  };
  const preview = async () => {
    const mine = ++asking;
    form.querySelector("[data-write]").disabled = true;
    say('<p class="sub">Looking what there is…</p>');
    const told = await post("/api/data/preview", asked());
    if (mine !== asking) return;
    say(told.html, told.problems);
    form.querySelector("[data-write]").disabled = !told.examples;
  };
  const write = async () => {
    const button = form.querySelector("[data-write]");
    button.disabled = true;
    const told = await post("/api/data/write", { asked: asked(), name: form.name.value });
    say(told.html, told.problems);
    button.disabled = !told.problems;
  };

  const begin = () => {
    form = document.querySelector("#data-ask");
    if (document.body.dataset.page && document.body.dataset.page !== "sessions") return;
    if (!form || !document.body.dataset.page) return setTimeout(begin, 30);
    document.querySelector("#make-data").addEventListener("click", () => {
      const open = Boolean(filters().s);
      form.querySelector("[data-open-session]").hidden = !open;
      if (!open) form.from.value = "list";
      preview();
    });
    form.addEventListener("change", (event) => event.target.name !== "name" && preview());
    form.addEventListener("submit", (event) => (event.preventDefault(), write()));
  };
  begin();
})();
