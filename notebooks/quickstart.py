# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""Your first adapter, step by step: `codex-ml notebooks` opens this on a copy of your own."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Codex: your first adapter")

with app.setup(hide_code=True):
    import shlex
    import warnings

    import marimo as mo
    import plotly.graph_objects as go
    import polars as pl

    import codex
    from codex.core import numbers
    from codex.services import chat, configure, logs, machine, runs, train

    # What libraries tell their own developers is no part of this page.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|torch)\b")

    # Clear on white and on black, so that a change of theme needs no new figure.
    SERIES = ("#5577F0", "#DB6A1E", "#2B9A66", "#A06CD5")
    QUIET = "#80868D"
    KINDS = {"Better": "success", "Worse": "danger", "finished": "success", "failed": "danger", "stopped": "warn"}


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Your first adapter

    Codex is a local workbench for fine-tuning language models on your own machine. It trains an adapter on your data, keeps the run
    alive, and says in one sentence, with error bars, whether the model got better.

    This notebook goes the whole way: **choose, start, watch, judge, compare, talk, ask the log.** What you change above is true at
    once below. Nothing starts before you press a button, and a run goes on when you close this page.
    """)
    return


@app.cell(hide_code=True)
def _():
    workspace = codex.Workspace.locate()
    return (workspace,)


@app.cell(hide_code=True)
def _(workspace):
    here = machine.look(workspace)
    mo.vstack([mo.md("## This machine"), mo.hstack(facts(here, workspace), widths="equal", wrap=True), mo.md(here.meaning)])
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Choose

    A recipe is a whole configuration under one name. The default teaches codex-tiny, a model of 4 million parameters that comes
    with Codex, to write docstrings: about two minutes on one core. For your own data, name a JSONL file of `messages`, or of
    `prompt` and `completion`.
    """)
    return


@app.cell(hide_code=True)
def _():
    data = mo.ui.text(placeholder="empty: the recipe's own data", label="Your data (JSONL file)", full_width=True)
    return (data,)


@app.cell(hide_code=True)
def _(data, workspace):
    offered = usable_recipes(data.value.strip(), workspace)
    recipe = mo.ui.dropdown(
        list(offered),
        value="qlora-chat" if data.value.strip() else "qlora-docstrings",
        label="Recipe",
        allow_select_none=False,
        full_width=True,
    )
    return offered, recipe


@app.cell(hide_code=True)
def _(offered, recipe):
    own = offered[recipe.value].recipe_values
    fields = mo.ui.dictionary({name: entry(name, own) for name in ("training.steps", "method.rank", "seed") if name in own})
    return fields, own


@app.cell(hide_code=True)
def _():
    more = mo.ui.text_area(
        placeholder="training.learning_rate=1e-3\ntitle=My first run", label="More settings, one a line", rows=2, full_width=True
    )
    return (more,)


@app.cell(hide_code=True)
def _(data, fields, more, recipe):
    mo.vstack(
        [
            mo.hstack([data, recipe], widths="equal"),
            mo.hstack(list(fields.elements.values()), widths="equal"),
            more,
        ],
        gap=1,
    )
    return


@app.cell(hide_code=True)
def _(data, fields, more, own, recipe):
    overrides = [f"recipe={recipe.value}"]
    overrides += [f"data.source={data.value.strip()}"] if data.value.strip() else []
    overrides += [f"{name}={value}" for name, value in fields.value.items() if value != own[name]]
    overrides += [line.strip() for line in more.value.splitlines() if line.strip()]
    return (overrides,)


@app.cell(hide_code=True)
def _(overrides, workspace):
    try:
        composed, problems = configure.compose(overrides, workspace=workspace), ()
    except codex.UserError as error:
        composed, problems = None, error.problems
    changes = pl.DataFrame(
        [(change.field, str(change.recipe_value), str(change.value)) for change in (composed.changes() if composed else ())],
        schema={"setting": pl.String, "in the recipe": pl.String, "in this run": pl.String},
        orient="row",
    )
    return changes, composed, problems


@app.cell(hide_code=True)
def _(changes, composed, overrides, problems):
    mo.vstack(
        [
            mo.md("### What will run"),
            complaint(problems)
            if composed is None
            else mo.vstack(
                [
                    table(changes) if len(changes) else mo.md("Nothing differs from the recipe. The same on the command line:"),
                    mo.md(f"```bash\ncodex-ml train {shlex.join(overrides)}\n```"),
                    mo.accordion(
                        {
                            "The whole configuration": mo.ui.code_editor(
                                composed.resolved_yaml(), language="yaml", disabled=True, max_height=420
                            )
                        }
                    ),
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(composed):
    start = mo.ui.run_button(label="Start this run", kind="success", disabled=composed is None)
    mo.hstack([start, mo.md("It checks model and data first, and takes a few seconds to begin.")], justify="start", gap=1)
    return (start,)


@app.cell(hide_code=True)
def _(start):
    pressed = start.value
    return (pressed,)


@app.cell(hide_code=True)
def _():
    get_started, set_started = mo.state(None)
    get_ended, set_ended = mo.state(None)
    return get_ended, get_started, set_ended, set_started


@app.cell(hide_code=True)
def _(overrides, pressed, set_started, workspace):
    started, refusals = None, ()
    if pressed:
        with mo.status.spinner("Checking model and data"):
            try:
                started = train.start(train.plan(overrides=overrides, workspace=workspace), workspace=workspace).id
            except codex.UserError as error:
                refusals = error.problems
    if started is not None:
        set_started(started)
    mo.vstack([complaint(refusals)] if refusals else [])
    return refusals, started


@app.cell(hide_code=True)
def _(get_started, started, workspace):
    newest = started or get_started()
    known = {f"{each.run.id}  {each.run.title}": each.run.id for each in runs.overview(workspace)}
    watched = mo.ui.dropdown(
        known, value=next((name for name, id_ in known.items() if id_ == newest), next(iter(known), None)), label="Run", searchable=True
    )
    return known, watched


@app.cell(hide_code=True)
def _(watched):
    run_id = watched.value
    return (run_id,)


@app.cell(hide_code=True)
def _(get_ended, run_id):
    # It beats only while there is something to see.
    beat = mo.ui.refresh(options=["1s", "5s"], default_interval="1s" if run_id is not None and get_ended() != run_id else None)
    return (beat,)


@app.cell(hide_code=True)
def _(beat, get_ended, run_id, set_ended, workspace):
    _ = beat.value
    look = runs.show(run_id, workspace=workspace) if run_id is not None else None
    points = runs.metrics(run_id, workspace=workspace) if run_id is not None else []
    curve = loss_figure({run_id: points})
    if look is not None and look.ended and get_ended() != run_id:
        set_ended(run_id)
    return curve, look, points


@app.cell(hide_code=True)
def _(beat, curve, look, points, watched):
    mo.vstack(
        [
            mo.md("## Watch"),
            mo.md("No run yet. Press **Start this run** above, and its curve is drawn here.")
            if look is None
            else mo.vstack(
                [
                    mo.hstack([watched, beat]),
                    mo.hstack(figures(look, points), widths="equal", wrap=True),
                    mo.ui.plotly(curve, config={"displayModeBar": False}) if points else mo.md("The first step comes in a few seconds."),
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(look):
    verdict = ((look.report or {}).get("verdict") or {}) if look is not None else {}
    verdict_table = pl.DataFrame([metric_row(row) for row in verdict.get("metrics", ())])
    return verdict, verdict_table


@app.cell(hide_code=True)
def _(look, verdict, verdict_table):
    mo.vstack([mo.md("## The verdict"), judgement(look, verdict, verdict_table)])
    return


@app.cell(hide_code=True)
def _(known):
    left = mo.ui.dropdown(known, value=next(iter(known), None), label="Run")
    right = mo.ui.dropdown(known, value=list(known)[1] if len(known) > 1 else None, label="against")
    return left, right


@app.cell(hide_code=True)
def _(left, look, right, workspace):
    _ = look  # a comparison with a run that goes on follows it
    pair = [id_ for id_ in (left.value, right.value) if id_ is not None]
    comparison = loss_figure({id_: runs.metrics(id_, workspace=workspace) for id_ in pair})
    difference = differing(pair, workspace)
    return comparison, difference, pair


@app.cell(hide_code=True)
def _(comparison, difference, left, pair, right):
    mo.vstack(
        [
            mo.md("## Compare two runs"),
            mo.md("Start a second run with another rank or more steps, and both are drawn over each other here.")
            if len(pair) < 2
            else mo.vstack(
                [
                    mo.hstack([left, right], justify="start", gap=2),
                    mo.hstack(
                        [
                            mo.ui.plotly(comparison, config={"displayModeBar": False}),
                            mo.vstack([mo.md("Only what differs:"), table(difference) if len(difference) else mo.md("Nothing does.")]),
                        ],
                        widths=[3, 2],
                        align="start",
                    ),
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    prompt = mo.ui.text_area("def add(a, b):\n    return a + b", label="Prompt", rows=3, full_width=True)
    return (prompt,)


@app.cell(hide_code=True)
def _(look, prompt):
    can_talk = look is not None and look.ended and look.run.adapter.is_dir()
    ask = mo.ui.run_button(label="Ask both", disabled=not can_talk)
    mo.vstack(
        [
            mo.md("## Talk to both"),
            mo.md("The same prompt and seed go to the base and to the adapter; what they say is kept in the session log.")
            if can_talk
            else mo.md("When the run above has ended with an adapter, you can talk to it here, beside its base."),
            prompt,
            ask,
        ]
    )
    return (ask,)


@app.cell(hide_code=True)
def _(ask, prompt):
    question = prompt.value if ask.value else None
    return (question,)


@app.cell(hide_code=True)
def _(question, run_id, workspace):
    answers = {}
    if question:
        mo.output.replace(mo.md("Loading the model."))
        for answers in talk(run_id, question, workspace):
            mo.output.replace(side_by_side(answers))
    return (answers,)


@app.cell(hide_code=True)
def _():
    sql = mo.ui.code_editor(
        "select kind, role, count(*) as events, max(step) as last_step, round(min(loss), 3) as lowest_loss\n"
        "from events\ngroup by kind, role\norder by events desc",
        language="sql",
        debounce=True,
        min_height=90,
    )
    mo.vstack(
        [
            mo.md("## Ask the log"),
            mo.md("Every step, verdict and chat is a row of the session log. The views are `events` and `sessions`, the dialect DuckDB's."),
            sql,
        ]
    )
    return (sql,)


@app.cell(hide_code=True)
def _(answers, look, sql, workspace):
    _ = (answers, look)  # both add rows
    rows, objections = asked(sql.value, workspace)
    mo.vstack([complaint(objections) if objections else table(rows)])
    return (rows,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## What next

    - Your own data: name a JSONL file under **Choose**. Fifty held-out examples or more make a useful verdict.
    - A longer run: 400 steps and rank 32, then compare it with the first.
    - The same from a terminal: `codex-ml train`, `codex-ml runs`, `codex-ml chat last`.
    - This copy is yours. Delete it, and `codex-ml notebooks` brings the shipped one back.
    """)
    return


@app.function(hide_code=True)
def facts(here: machine.Machine, workspace: codex.Workspace) -> list[mo.Html]:
    """The machine as a few figures."""
    gpus = here.gpus.found
    memory = next((f"{gpu.total:.0f} GiB" for gpu in gpus if gpu.total is not None), numbers.MISSING)
    return [
        mo.stat(here.cores, label="Cores", caption=here.processor),
        mo.stat(f"{here.memory_free:.1f} GiB", label="Memory free", caption=f"of {here.memory_total:.1f} GiB"),
        mo.stat(memory, label="GPU", caption=", ".join(gpu.name for gpu in gpus) or "none found"),
        mo.stat(f"{here.disk_free:.0f} GiB", label="Disk free", caption=f"for {workspace.root}"),
    ]


@app.function(hide_code=True)
def usable_recipes(data: str, workspace: codex.Workspace) -> dict[str, configure.Composed]:
    """The recipes that can run with this data file, or with their own where there is none."""
    given = [f"data.source={data}"] if data else []
    found = {}
    for info in configure.recipes(workspace):
        try:
            found[info.name] = configure.compose([f"recipe={info.name}", *given], workspace=workspace)
        except codex.UserError:
            continue  # it needs data, or is broken; `codex-ml config recipes` says which
    return found


@app.function(hide_code=True)
def entry(name: str, own: dict[str, object]) -> mo.ui.number:
    """A field for one whole number, with the words and bounds of the schema and the recipe's value."""
    (setting,) = configure.explain(name)
    label = f"{setting.title} ({setting.unit})" if setting.unit and setting.unit.lower() != setting.title.lower() else setting.title
    return mo.ui.number(start=setting.bounds.low, stop=setting.bounds.high, step=1, value=own[name], label=label, full_width=True)


@app.function(hide_code=True)
def table(frame: pl.DataFrame) -> mo.ui.table:
    """A table to read."""
    return mo.ui.table(
        frame, selection=None, show_download=False, show_search=False, show_column_summaries=False, show_data_types=False, page_size=12
    )


@app.function(hide_code=True)
def complaint(problems: tuple) -> mo.Html:
    """What is to be mended, one thing a line."""
    return mo.callout(mo.plain_text("\n".join(str(problem) for problem in problems)), kind="danger")


@app.function(hide_code=True)
def smoothed(values: list[float], keep: float = 0.9) -> list[float]:
    """An exponential moving average that is not drawn towards 0 at its beginning."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        found.append(mean / weight)
    return found


@app.function(hide_code=True)
def lines(name: str, points: list, colours: tuple[str, str]) -> list[go.Scatter]:
    """The curves of one run: training as measured and smoothed, held-out with its marks."""
    finite = [point for point in points if point.loss is not None]
    train_, heldout = ([point for point in finite if point.split == split] for split in ("train", "heldout"))
    at, losses = [point.step for point in train_], [point.loss for point in train_]
    drawn = [
        go.Scatter(x=at, y=losses, name=f"{name}training, each step", line={"color": colours[0], "width": 1}, opacity=0.35),
        go.Scatter(x=at, y=smoothed(losses), name=f"{name}training", line={"color": colours[0], "width": 2.5}),
    ]
    if heldout:
        drawn.append(
            go.Scatter(
                x=[point.step for point in heldout],
                y=[point.loss for point in heldout],
                name=f"{name}held-out",
                mode="lines+markers",
                line={"color": colours[1], "width": 2, "dash": "dot"},
            )
        )
    return drawn


@app.function(hide_code=True)
def loss_figure(series: dict[str, list]) -> go.Figure:
    """Loss over steps of one run, or of several over each other."""
    several = len(series) > 1
    figure = go.Figure()
    for number, (run_id, points) in enumerate(series.items()):
        colour = SERIES[number % len(SERIES)]
        drawn = lines(f"{run_id} " if several else "", points, (colour, colour if several else SERIES[1]))
        figure.add_traces(drawn[1:] if several else drawn)
    axis = {"gridcolor": "rgba(128,134,141,0.22)", "zeroline": False}
    figure.update_layout(
        height=320,
        margin={"l": 56, "r": 8, "t": 8, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": QUIET, "size": 12},
        hovermode="x unified",
        hoverlabel={"font": {"color": "#17181A"}, "bgcolor": "#FFFFFF"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": "step", "showgrid": False, "zeroline": False},
        yaxis={"title": "loss (nats a token)", **axis},
    )
    return figure


@app.function(hide_code=True)
def figures(look: runs.RunSummary, points: list) -> list[mo.Html]:
    """Where a run stands, as a few figures."""
    status = look.status
    training = [point for point in points if point.split == "train"]
    last = training[-1] if training else None
    speed = last.numbers.get("tokens_per_s") if last else None
    seconds = status.ended - status.started if status.ended and status.started else None
    return [
        mo.stat(status.state, label="State", caption=status.note if status.active else numbers.ago(status.ended)),
        mo.stat(f"{numbers.count(status.step or 0)} / {numbers.count(status.total)}", label="Step", caption=numbers.duration(seconds)),
        mo.stat(numbers.loss(last.loss if last else None), label="Training loss", caption="nats a token"),
        mo.stat(numbers.count(speed), label="Speed", caption="useful tokens a second"),
    ]


@app.function(hide_code=True)
def metric_row(row: dict) -> dict[str, str | int]:
    """One metric of the verdict as a row of its table."""
    change, decimals = row["difference"], max(2, row["decimals"])
    ends = [numbers.signed(change[end], decimals) for end in ("low", "high")]
    return {
        "metric": row["title"],
        "base": numbers.fixed(row["base"], decimals),
        "adapter": numbers.fixed(row["adapter"], decimals),
        "difference": numbers.signed(change["value"], decimals),
        "interval": numbers.MISSING if change["low"] is None else f"[{', '.join(ends)}]",
        "better": row["wins"],
        "worse": row["losses"],
        "the same": row["ties"],
    }


@app.function(hide_code=True)
def judgement(look: runs.RunSummary | None, verdict: dict, rows: pl.DataFrame) -> mo.Html:
    """How a run came out, in words and figures, and where its adapter is."""
    if look is None or not look.ended:
        return mo.md("When the run has ended, one sentence says whether the model got better, and how sure that is.")
    reason = look.status.reason
    if look.status.state != "finished":
        said = "\n".join((reason.sentence, *reason.lines)) if reason else look.status.state
        go_on = mo.md(f"Go on from its newest checkpoint: `codex-ml runs resume {look.run.id}`.")
        return mo.vstack([mo.callout(mo.plain_text(said), kind=KINDS.get(look.status.state, "neutral")), go_on])
    shown = [mo.md("No verdict: the run was not judged.")]
    if verdict:
        shown = [mo.callout(mo.md(f"**{verdict['sentence']}**"), kind=KINDS.get(verdict["word"], "neutral")), table(rows)]
    code = runs.loading_code(look.run)
    if code is not None:
        shown.append(mo.accordion({f"Load it without Codex, from {look.run.adapter}": mo.md(f"```python\n{code}\n```")}))
    return mo.vstack(shown)


@app.function(hide_code=True)
def flat(values: object, name: str = "") -> dict[str, str]:
    """Nested values by dotted name."""
    if not isinstance(values, dict):
        return {name: str(values)}
    return {key: text for part, inner in values.items() for key, text in flat(inner, f"{name}.{part}".lstrip(".")).items()}


@app.function(hide_code=True)
def differing(pair: list[str], workspace: codex.Workspace) -> pl.DataFrame:
    """The settings in which two runs differ."""
    found = {id_: flat(configure.read_values(runs.configuration(id_, workspace=workspace))) for id_ in dict.fromkeys(pair)}
    names = dict.fromkeys(name for values in found.values() for name in values)
    rows = [(name, *(values.get(name, numbers.MISSING) for values in found.values())) for name in names]
    return pl.DataFrame([row for row in rows if len(set(row[1:])) > 1], schema=["setting", *found], orient="row")


@app.function(hide_code=True)
def talk(run_id: str, question: str, workspace: codex.Workspace):
    """What each side has said so far, again and again until both are done."""
    answers = {}
    settings = chat.ChatSettings(max_new_tokens=64)
    with chat.open_chat(run_id, None, workspace=workspace, settings=settings) as conversation:
        for piece in conversation.ask(question):
            answers = {**answers, piece.side: answers.get(piece.side, "") + piece.text}
            yield answers


@app.function(hide_code=True)
def side_by_side(answers: dict[str, str]) -> mo.Html:
    """The answers in columns, as text and nothing else."""
    columns = [mo.vstack([mo.md(f"**{side}**"), mo.callout(mo.plain_text(text or " "))]) for side, text in answers.items()]
    return mo.hstack(columns, widths="equal", align="start")


@app.function(hide_code=True)
def asked(query: str, workspace: codex.Workspace) -> tuple[pl.DataFrame, tuple]:
    """The rows of a query, or why it was refused."""
    try:
        found = logs.sql(query, workspace=workspace)
    except codex.UserError as error:
        return pl.DataFrame(), error.problems
    return pl.DataFrame(found.rows, schema=list(found.columns), orient="row", infer_schema_length=None, strict=False), ()


if __name__ == "__main__":
    app.run()
