// The SQL tab: an editor, its answer as a table that can be sorted, as a plot and as a file.
(() => {
  const { json, css, toast } = window.codex;
  const MOST_IN_ADDRESS = 4000;
  const MOST_LINES = 12;
  const NONE = "–";
  const COLOURS = ["p1", "p2", "p3", "p4", "p5", "p6"];
  const BEGIN = "select kind, count(*) as sessions, sum(events) as events\nfrom sessions\ngroup by kind\norder by events desc";
  let root;
  let answer = null;
  let running = "";
  let asked = "";

  const at = (selector) => root.querySelector(selector);
  const editor = () => at("#sql-text");
  const make = (tag, over = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), over);
    made.append(...children);
    return made;
  };
  const post = (url, body) => json(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const gone = { problems: [{ text: "The app did not answer; expected it to run. Start it again: codex-ui." }] };

  const say = (problems) => {
    const box = make("div", { className: "cx-err" });
    box.setAttribute("role", "alert");
    problems.forEach((each) => {
      const line = make("p");
      each.text.split("`").forEach((part, place) => line.append(place % 2 ? make("code", { textContent: part }) : part));
      box.append(line);
    });
    at("[data-answer]").replaceChildren(box);
  };

  const put = (text) => Object.assign(editor(), { value: text, rows: Math.min(18, Math.max(7, text.split("\n").length + 1)) });

  // ---- asking
  const run = async () => {
    const query = editor().value.trim();
    if (!query || running) return;
    const name = (running = crypto.randomUUID?.() ?? `${Math.random()}`);
    asked = query;
    remember(query);
    at("#sql-run").hidden = true;
    at("#sql-stop").hidden = false;
    if (document.activeElement !== editor()) at("#sql-stop").focus();
    at("[data-answer]").replaceChildren(make("p", { className: "sub", textContent: "Asking…" }));
    const told = await post("/api/sql/run", { query, name }).catch(() => gone);
    const held = document.activeElement === at("#sql-stop");
    running = "";
    at("#sql-run").hidden = false;
    at("#sql-stop").hidden = true;
    if (held) at("#sql-run").focus();
    at("[data-table]").hidden = Boolean(told.problems);
    if (told.problems) return say(told.problems);
    answer = told;
    at("[data-answer]").replaceChildren();
    show();
  };
  const remember = (query) => {
    const address = new URLSearchParams({ tab: "sql", ...(query.length <= MOST_IN_ADDRESS ? { sql: query } : {}) });
    if (new URLSearchParams(location.search).get("sql") !== query) history.pushState(null, "", `/sessions?${address}`);
  };

  // ---- the table
  const show = () => {
    const { rows, seconds, truncated } = answer;
    const many = `${rows.length.toLocaleString("en")} row${rows.length === 1 ? "" : "s"}`;
    at("[data-told]").textContent = `${truncated ? `The first ${many}; a download has more` : many}, ${seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`}.`;
    const table = at("[data-table] table");
    const head = answer.columns.map((column, place) => {
      const button = make("button", { type: "button", textContent: column.name, title: column.type.toLowerCase() });
      button.dataset.sort = place;
      const cell = make("th", { scope: "col", className: column.numeric ? "r" : "" }, button);
      return cell;
    });
    table.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody"));
    fill(rows);
    axes();
  };
  const fill = (rows) => {
    const cells = (row) => row.map((value, place) => {
      const { numeric } = answer.columns[place];
      const cell = make("td", { className: numeric ? "r num" : "" });
      cell.append(make("span", { className: "v", textContent: value === null ? NONE : value }));
      return cell;
    });
    at("[data-table] tbody").replaceChildren(...rows.map((row) => make("tr", {}, ...cells(row))));
  };
  const sort = (place) => {
    const headers = [...at("[data-table] thead tr").children];
    const down = headers[place].ariaSort === "ascending";
    headers.forEach((each) => each.removeAttribute("aria-sort"));
    headers[place].ariaSort = down ? "descending" : "ascending";
    const { numeric } = answer.columns[place];
    const compare = (a, b) => (numeric ? Number(a) - Number(b) : String(a).localeCompare(String(b), "en", { numeric: true }));
    const known = answer.rows.filter((row) => row[place] !== null).sort((a, b) => compare(a[place], b[place]) * (down ? -1 : 1));
    fill([...known, ...answer.rows.filter((row) => row[place] === null)]);
  };

  // ---- the plot
  const isTime = ({ type }) => /^(date|timestamp|time)/i.test(type);
  const distinct = (place) => new Set(answer.rows.map((row) => row[place])).size;
  const axes = () => {
    const names = answer.columns.map((column, place) => [place, column]);
    const numbers = names.filter(([, column]) => column.numeric);
    const [y] = numbers.at(-1) ?? [-1];
    const words = names.filter(([, column]) => !column.numeric && !isTime(column));
    const first = names.find(([place, column]) => isTime(column) && distinct(place) > 1) ?? words.find(([place]) => distinct(place) === answer.rows.length);
    const [x] = first ?? numbers.find(([place]) => place !== y && distinct(place) > 1) ?? names.find(([place]) => place !== y) ?? [-1];
    const [by] = words.find(([place]) => place !== x && distinct(place) <= MOST_LINES && distinct(place) < answer.rows.length) ?? [-1];
    const choices = { x: names, y: numbers, by: [[-1, { name: "no column" }], ...names] };
    for (const [axis, value] of Object.entries({ x, y, by })) {
      at(`[data-axis=${axis}]`).replaceChildren(...choices[axis].map(([place, column]) => make("option", { value: place, textContent: column.name })));
      at(`[data-axis=${axis}]`).value = value;
    }
    at("[data-chart]").hidden = !numbers.length || !answer.rows.length || answer.columns.length < 2;
    draw();
  };
  const draw = () => {
    if (!answer || !at("[data-chart]").open || at("[data-chart]").hidden) return;
    const [x, y, by] = ["x", "y", "by"].map((axis) => +at(`[data-axis=${axis}]`).value);
    const column = answer.columns[x];
    const lines = new Map();
    answer.rows.forEach((row) => {
      const key = by < 0 ? answer.columns[y].name : String(row[by] ?? NONE);
      lines.set(key, [...(lines.get(key) ?? []), row]);
    });
    const ordered = column.numeric || isTime(column);
    const value = (cell) => (cell === null ? null : Number(cell));
    const trace = ([name, rows], place) => {
      const sorted = ordered ? [...rows].sort((a, b) => (a[x] < b[x] ? -1 : 1)) : rows;
      const points = { x: sorted.map((row) => (column.numeric ? value(row[x]) : row[x])), y: sorted.map((row) => value(row[y])), name };
      const colour = css(COLOURS[place % 6]);
      if (!ordered) return { ...points, type: "bar", marker: { color: colour } };
      return { ...points, mode: rows.length < 60 ? "lines+markers" : "lines", line: { color: colour, width: 2, dash: place < 6 ? "solid" : "dash" }, marker: { size: 5, color: colour } };
    };
    window.codex.plot(at("[data-sqlplot]"), () => ({
      traces: [...lines].slice(0, MOST_LINES).map(trace),
      x: { type: isTime(column) ? "date" : column.numeric ? "linear" : "category", hoverformat: undefined, unifiedhovertitle: { text: "%{x}" }, automargin: true },
      y: { rangemode: ordered ? "normal" : "tozero", automargin: true },
    }));
    const keys = [...lines].slice(0, MOST_LINES).map(([name], place) => {
      const line = make("i");
      line.style.setProperty("--k", `var(--cx-${COLOURS[place % 6]})`);
      return make("span", { className: "cx-key" }, line, name);
    });
    at("[data-chart] .cx-keys")?.remove();
    const left = lines.size > MOST_LINES ? [make("span", { className: "sub", textContent: `and ${lines.size - MOST_LINES} more that are not drawn` })] : [];
    at(".cx-axes").after(make("div", { className: "cx-keys" }, ...keys, ...left));
  };

  // ---- files
  const download = async (button) => {
    const format = button.dataset.download;
    button.disabled = true;
    const got = await fetch("/api/sql/download", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query: asked, format }),
    }).catch(() => null);
    button.disabled = false;
    if (!got?.ok) return say((await got?.json().catch(() => gone))?.problems ?? gone.problems);
    const link = make("a", { href: URL.createObjectURL(await got.blob()), download: `answer.${format}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  const keep = async (form) => {
    const told = await post("/api/sql/queries", {
      title: form.title.value, query: editor().value, overwrite: form.overwrite.checked,
    }).catch(() => gone);
    if (told.problems) return say(told.problems);
    at("[data-answer] .cx-err")?.remove();
    toast(told.say);
    form.querySelector("[data-dismiss]").click();
    form.reset();
    document.querySelector("[data-shell]").dispatchEvent(new Event("codex:ask"));
  };

  const insert = (text) => {
    const field = editor();
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.focus();
  };
  const clicked = ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const { insert: name, queryText, sort: place, download: format } = button.dataset;
    if (name) insert(name);
    else if (queryText) put(queryText), run();
    else if (place !== undefined) sort(+place);
    else if (format) download(button);
    else if (button.id === "sql-run") run();
    else if (button.id === "sql-stop" && running) post("/api/sql/stop", { name: running }).catch(() => {});
  };
  const settle = ({ detail }) => {
    if (detail !== "sql") return;
    const text = new URLSearchParams(location.search).get("sql");
    if (text !== null && text !== asked) put(text);
    else if (!editor().value) put(BEGIN);
  };

  const begin = () => {
    root = document.querySelector("[data-sessions]");
    if (document.body.dataset.page && document.body.dataset.page !== "sessions") return;
    if (!root || !document.body.dataset.page) return setTimeout(begin, 30);
    root.addEventListener("click", clicked);
    root.addEventListener("codex:tab", settle);
    root.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === editor() && run());
    root.addEventListener("change", (event) => event.target.matches("[data-axis]") && draw());
    root.addEventListener("submit", (event) => event.target.id === "sql-keep" && (event.preventDefault(), keep(event.target)));
    at("[data-chart]").addEventListener("toggle", draw);
    settle({ detail: new URLSearchParams(location.search).get("tab") });
  };
  begin();
})();
