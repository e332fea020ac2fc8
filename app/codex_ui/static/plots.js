// Plots of a run, or of several over each other: every point is fetched once, drawn in the one house style.
(() => {
  const { css, poll, json } = window.codex;
  const drawn = new Set();

  const smooth = (values, keep) => {
    let mean = 0;
    let weight = 0;
    return values.map((value) => {
      if (value === null) return null;
      mean = keep * mean + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
      return mean / weight;
    });
  };
  const fillOf = (hex) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},.12)`;

  const axis = () => ({
    gridcolor: css("grid"), zeroline: false, linecolor: css("line"), ticks: "", automargin: false, nticks: 5, hoverformat: ".4~g",
    tickfont: { size: 11, color: css("ink3"), family: css("mono") },
  });
  const layout = ({ x, y }) => ({
    font: { family: css("sans"), size: 12, color: css("ink2") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 44, r: 8, t: 8, b: 24 }, showlegend: false,
    hovermode: "x unified", dragmode: "zoom", uirevision: "kept",
    hoverlabel: { bgcolor: css("surface"), bordercolor: css("line"), font: { family: css("mono"), size: 12, color: css("ink") } },
    xaxis: { ...axis(), showgrid: false, showline: true, nticks: 6, hoverformat: "d", unifiedhovertitle: { text: "step %{x}" }, ...x },
    yaxis: { ...axis(), ...y },
  });
  const draw = (box, make) => {
    box._draw = () => {
      const { traces, ...over } = make();
      window.Plotly.react(box, traces, layout(over), { displayModeBar: false, displaylogo: false, responsive: true });
    };
    drawn.add(box);
    box._draw();
  };
  new MutationObserver(() => drawn.forEach((box) => (box.isConnected ? box._draw() : drawn.delete(box)))).observe(document.body, {
    attributes: true, attributeFilter: ["class"],
  });

  window.codex.plot = draw;

  // ---- a run's points: a step that was replayed and came out differently stands where it was
  const FIGURES = ["loss", "learning_rate", "grad_norm", "tokens_per_s", "memory_gib", "gpu_memory_gib"];
  class Series {
    constructor(id, from = `/api/runs/${encodeURIComponent(id)}/metrics`) {
      Object.assign(this, { id, from });
      this.next = 0;
      this.rows = { train: new Map(), heldout: new Map() };
    }
    async more() {
      const told = await json(`${this.from}?since=${this.next}`);
      if (told.problems) return { done: !told.failed, new: 0 };
      told.step.forEach((step, at) => this.rows[told.split[at]]?.set(step, Object.fromEntries(FIGURES.map((name) => [name, told[name][at]]))));
      const fresh = told.next - this.next;
      Object.assign(this, { next: told.next, total: told.total, done: told.done });
      return { done: told.done, new: fresh };
    }
    column(name, split = "train") {
      const steps = [...this.rows[split].keys()].sort((a, b) => a - b);
      return { x: steps, y: steps.map((step) => this.rows[split].get(step)[name]) };
    }
    last(name, split = "train") {
      return this.column(name, split).y.findLast((value) => value !== null);
    }
  }

  const line = (column, colour, over = {}) => ({ ...column, mode: "lines", line: { color: css(colour), width: 1.5 }, ...over });
  const marked = (colour) => ({ mode: "lines+markers", line: { color: css(colour), width: 2 }, marker: { size: 6 } });
  const lossTraces = (series, colour, name, dash) => {
    const train = series.column("loss");
    return [
      line(train, colour, { line: { color: css(colour), width: 1 }, opacity: 0.28, hoverinfo: "skip" }),
      line({ x: train.x, y: smooth(train.y, 0.9) }, colour, { name, line: { color: css(colour), width: 2, dash } }),
    ];
  };
  const PLOTS = {
    loss: (s) => ({ traces: [...lossTraces(s, "p1", "training"), { ...s.column("loss", "heldout"), name: "held-out", ...marked("p2") }] }),
    learning_rate: (s) => ({ traces: [line(s.column("learning_rate"), "p1", { name: "rate" })], y: { tickformat: ".1~e", rangemode: "tozero" } }),
    grad_norm: (s) => ({ traces: [line(s.column("grad_norm"), "p4", { name: "norm" })] }),
    tokens_per_s: (s) => ({ traces: [line(s.column("tokens_per_s"), "p6", { name: "tokens/s" })], y: { rangemode: "tozero", tickformat: ",d" } }),
    memory: (s, box) => ({
      traces: [line(s.column(memoryOf(s)), "p5", { name: "GiB", fill: "tozeroy", fillcolor: fillOf(css("p5")) })],
      y: room(s, box) ? { range: [0, room(s, box)] } : { rangemode: "tozero" },
    }),
  };
  const room = (s, box) => +(memoryOf(s) === "memory_gib" ? box.dataset.ram : box.dataset.gpu);
  const memoryOf = (s) => (s.last("gpu_memory_gib") === undefined ? "memory_gib" : "gpu_memory_gib");
  const WORDS = {
    loss: (s) => s.last("loss")?.toFixed(3),
    learning_rate: (s) => short(s.last("learning_rate")),
    grad_norm: (s) => s.last("grad_norm")?.toFixed(2),
    tokens_per_s: (s) => s.last("tokens_per_s")?.toLocaleString("en", { maximumFractionDigits: 0 }),
    memory: (s) => s.last(memoryOf(s))?.toFixed(1),
  };
  const short = (value) => (value === undefined ? value : value === 0 ? "0" : value.toExponential(1).replace("e+", "e"));

  const show = (root, series) => {
    root.querySelectorAll("[data-none]").forEach((each) => (each.hidden = series.next > 0 || (each.dataset.none === "ended") !== series.done));
    root.querySelectorAll("[data-some]").forEach((each) => (each.hidden = series.next === 0));
    root.querySelectorAll("[data-heldout]").forEach((each) => (each.hidden = series.rows.heldout.size === 0));
    if (series.next === 0) return;
    root.querySelectorAll("[data-plot]").forEach((box) => {
      draw(box, () => {
        const made = PLOTS[box.dataset.plot](series, box);
        return { ...made, x: series.total ? { range: [0, series.total] } : {} };
      });
    });
    root.querySelectorAll("[data-now]").forEach((each) => (each.textContent = WORDS[each.dataset.now](series) ?? "–"));
  };
  const follow = (root) => {
    const series = new Series(root.dataset.run || new URLSearchParams(location.search).get("id") || "last", root.dataset.series);
    let first = true;
    poll(root, async () => {
      const told = await series.more();
      if (told.new || first) show(root, series);
      first = false;
      return told.done ? 5000 : 1000;
    }, 1000);
  };

  // ---- several runs over each other
  const COLOURS = ["p1", "p2", "p3", "p4", "p5", "p6"];
  const overlay = async (root) => {
    const all = root.dataset.overlay.split(",").map((id) => new Series(id));
    await Promise.all(all.map((series) => series.more()));
    draw(root, () => ({ traces: all.flatMap((series, at) => lossTraces(series, COLOURS[at % 6], series.id, at < 6 ? "solid" : "dash")) }));
  };

  let timer = 0;
  const begin = () => {
    const { shows } = document.body.dataset;
    clearTimeout(timer);
    if (!window.Plotly || !shows) return (timer = setTimeout(begin, 60));
    if (shows === "problems") return;
    document.querySelectorAll("[data-plots]:not([data-begun])").forEach((root) => (root.setAttribute("data-begun", ""), follow(root)));
    document.querySelectorAll("[data-overlay]:not([data-begun])").forEach((root) => (root.setAttribute("data-begun", ""), overlay(root)));
  };
  new MutationObserver(begin).observe(document.body, { childList: true, subtree: true });
  begin();
})();
