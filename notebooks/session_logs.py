# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What happened, in lists, plots and SQL: `codex-ml notebooks` opens the folder with this in it, on a copy of your own."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Codex: the session log")

with app.setup(hide_code=True):
    import datetime
    import html
    import io
    import json
    import math
    import os
    import shutil
    import tempfile
    import weakref

    import duckdb
    import marimo as mo
    import plotly.graph_objects as go
    import polars as pl

    import codex
    from codex.core import numbers
    from codex.services import log_data, logs

    # Clear on white and on black, so that a change of theme needs no new figure.
    SERIES = ("#5577F0", "#DB6A1E", "#2B9A66", "#A06CD5", "#0F93A8", "#B4820F")
    QUIET = "#80868D"
    ROLES = {
        "user": "#5577F0",
        "assistant": "#A06CD5",
        "tool": "#2B9A66",
        "system": "#0F93A8",
        "info": QUIET,
        "warning": "#B4820F",
        "error": "#E0503F",
    }
    RATINGS = {"good": 1, "bad": -1, "neither": 0}
    WORDS = {rating: word for word, rating in RATINGS.items()}
    MINE, MADE_UP = "My log", "A made-up log"
    DAYS, LISTED, SHOWN, ROWS = 30, 500, 60, 1_000_000
    MARK = "<mark style='background:#F5D565;color:#17181A;border-radius:2px'>"
    MEASURES = {"95th percentile": "p95_ms", "median": "median_ms", "slowest": "max_ms"}


@app.cell(hide_code=True)
def _():
    mo.md("""
    # The session log

    Each turn of a chat, each tool call, each training step and each verdict is a row of the workspace's log. This notebook reads that
    log while others write to it: **what is in it, one session as a timeline, SQL, plots, ranked search, ratings, and the way from the
    log to training data.** What you choose above is true at once below.
    """)
    return


@app.cell(hide_code=True)
def _():
    workspace = codex.Workspace.locate()
    return (workspace,)


@app.cell(hide_code=True)
def _(workspace):
    own = codex.SessionLog.open(workspace)
    again = mo.ui.button(label="Look again", value=0, on_click=lambda times: times + 1)
    return again, own


@app.cell(hide_code=True)
def _(again, own):
    _ = again.value
    _logs = [MADE_UP] if extent(own) is None else [MINE, MADE_UP]
    source = mo.ui.dropdown(_logs, value=_logs[0], label="Log", allow_select_none=False)
    return (source,)


@app.cell(hide_code=True)
def _(own, source):
    made_up = source.value == MADE_UP
    log = made_up_log() if made_up else own
    home = codex.Workspace(log.folder.parent)
    return home, log, made_up


@app.cell(hide_code=True)
def _(again, log):
    _ = again.value
    there, _first, _last = extent(log)
    _newest = max(_first, _last - datetime.timedelta(days=DAYS - 1))
    kinds = mo.ui.multiselect(there, value=there, label="Kinds", full_width=True)
    days = mo.ui.date_range(start=_first, stop=_last, value=(_newest, _last), label="Days (UTC)", full_width=True)
    return days, kinds, there


@app.cell(hide_code=True)
def _(again, days, kinds, log, made_up, source, workspace):
    _damage = logs.damage_seen(log)
    mo.vstack(
        [
            *([mo.callout(mo.md(f"{_damage}. `codex-ml logs doctor` says more."), kind="danger")] if _damage else []),
            whose(made_up, workspace, empty=len(source.options) == 1),
            mo.hstack([source, again], justify="start", gap=1),
            mo.hstack([kinds, days], widths=[2, 1], gap=1, align="end", wrap=True),
        ]
    )
    return


@app.cell(hide_code=True)
def _(days, kinds, there):
    _end = days.value[1] + datetime.timedelta(days=1)
    selection = codex.Selection(since=midnight(days.value[0]), until=midnight(_end), kinds=tuple(kinds.value or there))
    return (selection,)


@app.cell(hide_code=True)
def _(log, selection):
    sessions = session_table(log.find(selection, limit=LISTED))
    return (sessions,)


@app.cell(hide_code=True)
def _(sessions):
    listed = mo.ui.table(
        sessions,
        selection="single",
        initial_selection=[0] if len(sessions) else None,
        page_size=8,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
    )
    return (listed,)


@app.cell(hide_code=True)
def _(listed, sessions):
    mo.vstack(
        [
            mo.md("## What is in it"),
            mo.hstack(headline(sessions), widths="equal", wrap=True),
            listed if len(sessions) else mo.md("No session of these kinds in these days."),
            mo.md(
                f"The newest {LISTED} sessions; narrow the days to see older ones." if len(sessions) == LISTED else "Choose one to read it."
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(listed):
    session = listed.value["id"][0] if len(listed.value) else None
    return (session,)


@app.cell(hide_code=True)
def _(log, session):
    spoken = log.events(session) if session is not None else []
    course = timeline(spoken)
    return course, spoken


@app.cell(hide_code=True)
def _(course, log, rated, session, spoken):
    _ = rated  # a new rating is shown at its event
    mo.vstack(
        [
            mo.md("## One session"),
            mo.md("Choose a session above.")
            if session is None
            else mo.vstack(
                [
                    mo.md(f"`{session}`: what took time is a bar that ends when it was logged, everything else a dot."),
                    plot(course),
                    transcript(spoken, log.annotations(session)),
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(spoken):
    _answers = {f"{event.seq}  {shortened(event.content)}": event.seq for event in spoken if event.role == "assistant"}
    answer = mo.ui.dropdown(_answers, value=next(reversed(_answers), None), label="Answer", full_width=True)
    rating = mo.ui.radio(RATINGS, value="good", label="It is", inline=True)
    note = mo.ui.text(placeholder="why", label="Note", full_width=True)
    better = mo.ui.text_area(placeholder="what it should have said", label="A better answer", rows=2, full_width=True)
    keep = mo.ui.run_button(label="Keep it", disabled=not _answers)
    return answer, better, keep, note, rating


@app.cell(hide_code=True)
def _(answer, better, keep, note, rating, session):
    # It names its session, so that what was said of one answer is never said of another.
    verdict = None
    if keep.value and answer.value is not None:
        verdict = {
            "session": session,
            "seq": answer.value,
            "rating": rating.value,
            "note": note.value.strip() or None,
            "edit": better.value.strip() or None,
        }
    return (verdict,)


@app.cell(hide_code=True)
def _(log, verdict):
    rated, unrated = judged(log, verdict) if verdict is not None else (None, ())
    return rated, unrated


@app.cell(hide_code=True)
def _(log, rated, session):
    _ = rated
    kept = said_of(log, session)
    return (kept,)


@app.cell(hide_code=True)
def _(answer, better, keep, kept, note, rating, unrated):
    mo.vstack(
        [
            mo.md("### Rate an answer"),
            mo.md("Ratings and better answers are what the data set below is made of. They are events too: nothing is overwritten."),
            mo.hstack([answer, rating], widths=[2, 1], align="end", gap=1, wrap=True),
            mo.hstack([note, better], widths="equal", align="start", gap=1, wrap=True),
            keep,
            *([complaint(unrated)] if unrated else []),
            table(kept) if len(kept) else mo.md("Nothing was said of this session yet."),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## In SQL

    `events` is a polars frame of the events chosen above, without their texts, and the cells below are SQL over it: open one, change
    it, and its plot follows. `log.sql(query)` asks the whole log, texts and attributes included.
    """)
    return


@app.cell
def _(days, log, selection):
    events = log.sql(
        "select time, day, session, seq, kind, role, tool, model, latency_ms, tokens_in, tokens_out, run_id, step, loss,"
        " attributes->>'split' as split from events"
        " where day between ? and ? and list_contains(?, kind) order by time desc limit ?",
        [*days.value, list(selection.kinds), ROWS],
    ).pl()
    frames = duckdb.connect(config={"autoinstall_known_extensions": False})
    _ = frames.register("events", events)
    return events, frames


@app.cell(hide_code=True)
def _(events):
    _cut = f"**Only the newest {ROWS:,} events are read here**; choose fewer days to count them all." if len(events) == ROWS else ""
    mo.md(f"### Events per day\n\n{_cut}")
    return


@app.cell
def _(frames):
    per_day = mo.sql(
        """
        select day, role, count(*) as events
        from events
        group by day, role
        order by day, role
        """,
        output=False,
        engine=frames,
    )
    return (per_day,)


@app.cell(hide_code=True)
def _(per_day):
    days_figure = days_bars(per_day)
    plot(days_figure) if len(per_day) else mo.md("No event in these days.")
    return (days_figure,)


@app.cell
def _(frames):
    tools = mo.sql(
        """
        select
            tool,
            count(*) as calls,
            round(median(latency_ms), 1) as median_ms,
            round(quantile_cont(latency_ms, 0.95), 1) as p95_ms,
            round(max(latency_ms), 1) as max_ms
        from events
        where role = 'tool' and tool is not null and latency_ms is not null
        group by tool
        order by p95_ms desc, tool
        limit 20
        """,
        output=False,
        engine=frames,
    )
    return (tools,)


@app.cell(hide_code=True)
def _():
    measure = mo.ui.dropdown(MEASURES, value="95th percentile", label="Bars show the", allow_select_none=False)
    return (measure,)


@app.cell(hide_code=True)
def _(measure, tools):
    tools_figure = bars(tools, "tool", {measure.selected_key: measure.value}, f"milliseconds a call, {measure.selected_key}")
    _few = "Of fewer than 20 calls the 95th percentile is close to the slowest." if (tools["calls"] < 20).any() else ""
    mo.vstack(
        [
            mo.md("### The slowest tools"),
            mo.md("No tool was called, or none says how long it took.")
            if not len(tools)
            else mo.vstack([measure, plot(tools_figure), table(tools), mo.md(_few)]),
        ]
    )
    return (tools_figure,)


@app.cell
def _(frames):
    tokens = mo.sql(
        """
        select model, count(*) as answers, coalesce(sum(tokens_in), 0)::bigint as read, coalesce(sum(tokens_out), 0)::bigint as written
        from events
        where model is not null and (tokens_in is not null or tokens_out is not null)
        group by model
        order by read + written desc, model
        limit 20
        """,
        output=False,
        engine=frames,
    )
    return (tokens,)


@app.cell(hide_code=True)
def _(tokens):
    tokens_figure = bars(tokens, "model", {"read": "read", "written": "written"}, "tokens")
    mo.vstack(
        [
            mo.md("### Tokens by model"),
            plot(tokens_figure) if len(tokens) else mo.md("No event says how many tokens a model read or wrote."),
        ]
    )
    return (tokens_figure,)


@app.cell
def _(frames):
    losses = mo.sql(
        """
        -- A step that was replayed after a resume counts once: as it came out last.
        select run_id, split, step, arg_max(loss, seq) as loss
        from events
        where kind = 'training' and run_id is not null and step is not null and loss is not null and split in ('train', 'heldout')
        group by run_id, split, step
        order by run_id, split desc, step
        """,
        output=False,
        engine=frames,
    )
    return (losses,)


@app.cell(hide_code=True)
def _(losses):
    _runs = losses["run_id"].unique(maintain_order=True).to_list()
    drawn = mo.ui.multiselect(_runs, value=_runs[-len(SERIES) :], label="Runs", max_selections=len(SERIES), full_width=True)
    smoothing = mo.ui.slider(0.0, 0.95, 0.05, value=0.0, label="Smoothing", show_value=True)
    return drawn, smoothing


@app.cell(hide_code=True)
def _(drawn, losses, smoothing):
    curves = loss_figure(losses.filter(pl.col("run_id").is_in(drawn.value)), smoothing.value)
    _lost = losses.filter(pl.col("run_id").is_in(drawn.value) & ~pl.col("loss").is_finite()).height
    mo.vstack(
        [
            mo.md("### The loss of all runs"),
            mo.md("No training step in these days.")
            if not len(losses)
            else mo.vstack(
                [
                    mo.hstack([drawn, smoothing], widths=[2, 1], gap=1, align="end", wrap=True),
                    plot(curves),
                    mo.md(
                        "Lines are training, dotted ones with marks held-out."
                        + (" The thin lines are as measured." if smoothing.value else "")
                        + (f" **{numbers.plural(_lost, 'step')} without a finite loss: not drawn.**" if _lost else "")
                    ),
                ]
            ),
        ]
    )
    return (curves,)


@app.cell(hide_code=True)
def _(made_up):
    words = mo.ui.text("timeout" if made_up else "", placeholder='two words, or "a phrase"', label="Words", debounce=250, full_width=True)
    return (words,)


@app.cell(hide_code=True)
def _(log, selection, words):
    hits, objections = found(log, words.value, selection)
    return hits, objections


@app.cell(hide_code=True)
def _(hits, objections, words):
    mo.vstack(
        [
            mo.md("## Search"),
            mo.md("Ranked by how well an event fits. The last word may be the beginning of one."),
            words,
            *([complaint(objections)] if objections else [ranked(hits)] if words.value.strip() else []),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    form = mo.ui.dropdown(
        {"conversations": "chat", "pairs of a better and a worse answer": "preference"},
        value="conversations",
        label="A data set of",
        allow_select_none=False,
    )
    wanted = mo.ui.dropdown(
        {"rated good or rewritten": 1, "not rated bad": 0, "any": -1},
        value="not rated bad",
        label="whose answers are",
        allow_select_none=False,
    )
    with_tools = mo.ui.checkbox(value=False, label="with tool calls")
    name = mo.ui.text("from-the-log", label="Called")
    write = mo.ui.run_button(label="Write the data set", kind="success")
    return form, name, wanted, with_tools, write


@app.cell(hide_code=True)
def _(form, wanted, with_tools):
    shape = {"kind": form.value, "min_rating": wanted.value, "include_tools": with_tools.value}
    return (shape,)


@app.cell(hide_code=True)
def _(home, rated, selection, shape):
    _ = rated  # it may change what is chosen
    choice = log_data.Choice(selection=codex.Selection(since=selection.since, until=selection.until), **shape)
    preview = log_data.choose(home, choice, shown=1)
    return choice, preview


@app.cell(hide_code=True)
def _(form, name, preview, wanted, with_tools, write):
    mo.vstack(
        [
            mo.md("## From log to data"),
            mo.md("Conversations of the days chosen above, in the form that a recipe reads, each with where it came from."),
            mo.hstack([form, wanted, with_tools], justify="start", gap=1, wrap=True, align="center"),
            mo.hstack(
                [
                    mo.stat(numbers.count(value), label=label)
                    for label, value in (
                        ("Examples", preview.counts.examples),
                        ("Answers", preview.counts.answers),
                        ("Rated good", preview.counts.good),
                        ("Rewritten", preview.counts.edited),
                    )
                ],
                widths="equal",
                wrap=True,
            ),
            *(
                [table(pl.DataFrame({"left out": list(preview.skipped), "times": list(preview.skipped.values())}))]
                if preview.skipped
                else []
            ),
            *([mo.md("\n\n".join(preview.notes))] if preview.notes else []),
            mo.accordion({"The first example": mo.json(dict(preview.examples[0]))}) if preview.examples else mo.md("No example fits."),
            mo.hstack([name, write], justify="start", gap=1, align="end", wrap=True),
        ]
    )
    return


@app.cell(hide_code=True)
def _(choice, name, write):
    # Another choice asks for nothing until the button is pressed again.
    asked_for = (choice, name.value) if write.value else None
    return (asked_for,)


@app.cell(hide_code=True)
def _(asked_for, home):
    written, refusals = written_data(home, *asked_for) if asked_for else (None, ())
    mo.vstack(
        [complaint(refusals)]
        if refusals
        else [mo.callout(mo.md(f"`{written.path}` has {numbers.plural(written.examples, 'example')}."), kind="success")]
        if written
        else []
    )
    return refusals, written


@app.cell(hide_code=True)
def _(events):
    mo.vstack(
        [
            mo.md(f"## Take it along\n\nThe {numbers.plural(len(events), 'event')} chosen above as files; in Python they are `events`."),
            mo.hstack(
                [
                    mo.download(
                        lambda: in_parquet(events), filename="events.parquet", mimetype="application/vnd.apache.parquet", label="Parquet"
                    ),
                    mo.download(lambda: events.write_csv().encode(), filename="events.csv", mimetype="text/csv", label="CSV"),
                ],
                justify="start",
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Write to it

    ```python
    import codex

    log = codex.SessionLog.open()
    with log.session("notebook", "Trying prompts") as session:
        session.append("user", "What does add() do?")
        session.append("assistant", "Adds two numbers.", model="codex-tiny", latency_ms=81.0, tokens_out=5)

    log.sql("select role, count(*) from events where session = ? group by role", [session.id]).pl()
    ```

    An exception in the `with` block ends the session as failed. The same from a terminal: `codex-ml logs list`, `codex-ml logs search
    timeout`, `codex-ml logs sql`. `pytest session_logs.py` runs the checks at the end of this notebook.
    """)
    return


@app.cell(hide_code=True)
def _(events, made_up):
    # Only where the numbers are known, and never in the page of somebody who changes the SQL.
    by_hand = made_up and len(events) == len(made_up_events()) and "PYTEST_CURRENT_TEST" in os.environ
    return (by_hand,)


@app.cell(hide_code=True)
def test_events_per_day_are_those_counted_by_hand(by_hand, per_day):
    # A training session has 60 steps, 3 held-out losses, an opening and an end: 65 events, all "info".
    if by_hand:
        on_20th = [("assistant", 2), ("info", 2 + 65), ("user", 2)]
        on_22nd = [("assistant", 1 + 3), ("error", 1), ("info", 2 + 2), ("tool", 4 + 2), ("user", 1 + 3)]
        counted = [(20, on_20th), (21, [("info", 65)]), (22, on_22nd)]
        assert per_day.rows() == [(datetime.date(2026, 11, day), role, count) for day, roles in counted for role, count in roles]
    return


@app.cell(hide_code=True)
def test_slowest_tools_are_those_worked_out_by_hand(by_hand, tools):
    # The 95th percentile of three lies 0.95 * 2 = 1.9 places after the first: 1200 + 0.9 * (2000 - 1200). Of two: 30 + 0.95 * (50 - 30).
    if by_hand:
        assert tools.rows() == [("run_tests", 3, 1200.0, 1920.0, 2000.0), ("read_file", 2, 40.0, 49.0, 50.0), ("grep", 1, 20.0, 20.0, 20.0)]
    return


@app.cell(hide_code=True)
def test_tokens_are_those_added_by_hand(by_hand, tokens):
    if by_hand:
        small = (90 + 130 + 180 + 420 + 480, 8 + 4 + 10 + 20 + 6)
        assert tokens.rows() == [("large-model", 1, 2600, 150), ("small-model", 5, *small)]
    return


@app.cell(hide_code=True)
def _():
    def test_smoothing_of_three_losses():
        # Halves: 2 / 0.5, then (2 / 2 + 2 / 2) / 0.75, then (2 / 2 + 1 / 2) / 0.875.
        assert smoothed([4.0, 2.0, 1.0], 0.5) == [4.0, 2 / 0.75, 1.5 / 0.875]
        assert smoothed([4.0, 2.0], 0.0) == [4.0, 2.0]

    def test_bar_of_the_timeline_ends_when_its_event_was_logged():
        # The tests were logged 7 s after the session began and took 2 s; the word of the user was logged after 4 s.
        lanes = {
            trace.y[0]: trace
            for trace in timeline([event for event in made_up_events() if event.session == "made-up-chat"]).data
            if trace.y
        }
        assert (lanes["tool run_tests"].base, lanes["tool run_tests"].x) == ((5.0,), (2.0,))
        assert lanes["user"].x == (4.0, 30.0, 60.0)

    def test_what_was_found_is_marked_and_nothing_else_is_markup():
        assert highlighted("a<b> c", ()) == "a&lt;b&gt; c"
        assert highlighted("a<b> c", ((2, 3),)).replace(MARK, "<mark>") == "a&lt;<mark>b</mark>&gt; c"

    return


@app.function(hide_code=True)
def made_up_events() -> list[codex.Event]:
    """Five sessions that never happened, at fixed times, so that every number of theirs can be worked out by hand."""
    mail, ended = "tests/test_mail.py", (90, "info", "", {"attributes": {"session_event": "ended", "outcome": "finished"}})
    asked = [
        opened("Made up: questions about a slow test"),
        (4, "user", "Which test is the slowest?", {}),
        (7, "tool", f"{mail}::test_timeout 31.2 s", called("run_tests", 2000, durations=1)),
        (9, "assistant", "test_timeout takes 31 s.", answered("small-model", 900, 180, 10)),
        (30, "user", "Why does it wait?", {}),
        (31, "tool", "client = Client(timeout=30)", called("read_file", 30, path=mail)),
        (34, "assistant", "Its server never answers, so the timeout of 30 s runs out.", answered("small-model", 1200, 420, 20)),
        (60, "user", "Make it fast.", {}),
        (62, "assistant", "client = Client()", answered("small-model", 700, 480, 6)),
        ended,
    ]
    worked = [
        opened("Made up: an agent makes a test fast"),
        (1, "user", "Make test_timeout fast.", {}),
        (2, "tool", f"{mail}:12: client = Client(timeout=30)", called("grep", 20, pattern="timeout")),
        (3, "tool", "def test_timeout(server): …", called("read_file", 50, path=mail)),
        (6, "tool", "FAILED: no answer within 0.01 s", called("run_tests", 1200, timeout=0.01)),
        (6.5, "error", "test_timeout failed: the timeout is too short", {}),
        (9, "tool", "1 passed in 0.3 s", called("run_tests", 1000, timeout=0.1)),
        (12, "assistant", "test_timeout takes 0.3 s now: its timeout is 0.1 s.", answered("large-model", 2100, 2600, 150)),
        (13, *ended[1:]),
    ]
    short = [
        opened("Made up: two words"),
        (3, "user", "What is a timeout?", {}),
        (5, "assistant", "How long to wait before giving up.", answered("small-model", 600, 90, 8)),
        (20, "user", "And a retry?", {}),
        (22, "assistant", "A pause.", answered("small-model", 400, 130, 4)),
        (30, *ended[1:]),
    ]
    rank_8, rank_32 = (
        [opened(f"Made up: rank {rank}"), *made_up_curve(fall, end), (61, *ended[1:])] for rank, fall, end in ((8, 15, 1.5), (32, 25, 1.2))
    )
    return [
        *one_session("made-up-words", "chat", (2026, 11, 20, 9), short),
        *one_session("made-up-run-a", "training", (2026, 11, 20, 16), rank_8, run_id="made-up-a"),
        *one_session("made-up-run-b", "training", (2026, 11, 21, 10), rank_32, run_id="made-up-b"),
        *one_session("made-up-agent", "agent", (2026, 11, 22, 9), worked),
        *one_session("made-up-chat", "chat", (2026, 11, 22, 14), asked),
    ]


@app.function(hide_code=True)
def opened(title: str) -> tuple:
    """The first line of a session."""
    return 0, "info", title, {"attributes": {"session_event": "opened"}}


@app.function(hide_code=True)
def called(tool: str, latency_ms: float, **arguments: object) -> dict:
    """The columns of a tool's answer."""
    return {"tool": tool, "latency_ms": latency_ms, "attributes": {"arguments": arguments}}


@app.function(hide_code=True)
def answered(model: str, latency_ms: float, tokens_in: int, tokens_out: int) -> dict:
    """The columns of a model's answer."""
    return {"model": model, "latency_ms": latency_ms, "tokens_in": tokens_in, "tokens_out": tokens_out}


@app.function(hide_code=True)
def made_up_curve(fall: float, end: float) -> list[tuple]:
    """Sixty steps whose loss is a formula, and a held-out loss at every twentieth."""
    lines = []
    for step in range(1, 61):
        loss = end + 3 * math.exp(-step / fall)
        lines.append((step, "info", "", {"step": step, "loss": loss + 0.1 * math.sin(2 * step), "attributes": {"split": "train"}}))
        if step % 20 == 0:
            lines.append((step, "info", "", {"step": step, "loss": loss + 0.2, "attributes": {"split": "heldout"}}))
    return lines


@app.function(hide_code=True)
def one_session(session: str, kind: str, began: tuple[int, ...], lines: list[tuple], **same: str) -> list[codex.Event]:
    """The events of a session from (seconds after it began, role, content, other columns)."""
    start = datetime.datetime(*began, tzinfo=datetime.UTC).timestamp()
    return [
        codex.Event(session=session, seq=seq, ts=start + seconds, kind=kind, role=role, content=content, **columns, **same)
        for seq, (seconds, role, content, columns) in enumerate(lines)
    ]


@app.function(hide_code=True)
def made_up_log() -> codex.SessionLog:
    """A log of the made-up events and what was said of some, in a folder that goes when nobody holds the log any more."""
    folder = tempfile.mkdtemp(prefix="codex-made-up-")
    with codex.SessionLog.open(folder) as log:
        log.ingest(made_up_events())
        log.annotate("made-up-words", 2, rating=1)
        log.annotate("made-up-words", 4, rating=-1, edit="Asking again after a timeout.")
        log.annotate("made-up-chat", 6, rating=1, note="the reason, not only the number")
        log.annotate("made-up-chat", 8, rating=-1, note="it would wait for ever", edit="client = Client(timeout=0.1)")
    made = codex.SessionLog.open(folder)
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


@app.function(hide_code=True)
def extent(log: codex.SessionLog) -> tuple[list[str], datetime.date, datetime.date] | None:
    """The kinds of events and the first and last day of a log; None when there is nothing but ratings and notes, or nothing."""
    asked = "select list(distinct kind order by kind), min(day), max(day) from events where kind <> 'annotation'"
    ((kinds, first, last),) = log.sql(asked).fetchall()
    return (kinds, first, last) if kinds else None


@app.function(hide_code=True)
def midnight(day: datetime.date) -> float:
    """When a day begins in UTC, in seconds since the epoch."""
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()


@app.function(hide_code=True)
def whose(made_up: bool, workspace: codex.Workspace, empty: bool) -> mo.Html:
    """Which log this is, and what can write to it."""
    if not made_up:
        return mo.md(f"The log in `{workspace.root}`. Two buttons write: **Keep it** to the log, **Write the data set** a file.")
    why = f"The log in `{workspace.root}` is empty, so these" if empty else "These"
    return mo.callout(mo.md(f"**Made up.** {why} sessions never happened. They are in a folder that goes with this notebook."), kind="warn")


@app.function(hide_code=True)
def session_table(found: list) -> pl.DataFrame:
    """Sessions as rows to read, the newest first."""
    return pl.DataFrame(
        [
            {
                "title": info.title or info.id,
                "kind": info.kind,
                "started": datetime.datetime.fromtimestamp(info.started, datetime.UTC).replace(tzinfo=None, microsecond=0),
                "took": numbers.duration(info.last_ts - info.started),
                "events": info.events,
                "tokens": info.tokens_in + info.tokens_out,
                "errors": info.errors,
                "outcome": info.outcome or "open",
                "rated": ", ".join(word for word, count in (("good", info.rated_good), ("bad", info.rated_bad)) if count),
                "id": info.id,
            }
            for info in found
        ],
        schema={
            **dict.fromkeys(("title", "kind"), pl.String), "started": pl.Datetime, "took": pl.String,
            **dict.fromkeys(("events", "tokens", "errors"), pl.Int64), **dict.fromkeys(("outcome", "rated", "id"), pl.String),
        },
    )  # fmt: skip


@app.function(hide_code=True)
def headline(sessions: pl.DataFrame) -> list[mo.Html]:
    """What is listed, as a few figures."""
    figures = {"Sessions": len(sessions), **{name.title(): sessions[name].sum() for name in ("events", "tokens", "errors")}}
    return [mo.stat(numbers.count(value), label=label) for label, value in figures.items()]


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
def shortened(text: str, length: int = 70) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


@app.function(hide_code=True)
def plot(figure: go.Figure) -> mo.ui.plotly:
    """A figure without its bar of buttons."""
    return mo.ui.plotly(figure, config={"displayModeBar": False})


@app.function(hide_code=True)
def styled(figure: go.Figure, height: int, **axes: dict) -> go.Figure:
    """A figure that is clear on white and on black."""
    plain = {"gridcolor": "rgba(128,134,141,0.22)", "zeroline": False}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": QUIET, "size": 12},
        hoverlabel={"font": {"color": "#17181A"}, "bgcolor": "#FFFFFF"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        **{axis: {**plain, "automargin": True, "ticklabelstandoff": 6, **axes.get(axis, {})} for axis in ("xaxis", "yaxis")},
    )
    return figure


@app.function(hide_code=True)
def days_bars(per_day: pl.DataFrame) -> go.Figure:
    """Events of each day, the roles on top of each other; the bars begin at 0."""
    figure = go.Figure(layout={"barmode": "stack"})
    for role, colour in ROLES.items():
        own = per_day.filter(pl.col("role") == role)
        if len(own):
            figure.add_bar(x=own["day"].to_list(), y=own["events"].to_list(), name=role, marker={"color": colour, "line": {"width": 0}})
    few = per_day["day"].n_unique() <= 14 and (per_day["day"].max() - per_day["day"].min()).days <= 14 if len(per_day) else False
    daily = {"dtick": 86_400_000, "tickformat": "%-d %b %Y"} if few else {}
    return styled(figure, 300, xaxis={"type": "date", "showgrid": False, **daily}, yaxis={"title": "events", "rangemode": "tozero"})


@app.function(hide_code=True)
def bars(frame: pl.DataFrame, name: str, columns: dict[str, str], unit: str) -> go.Figure:
    """A row of the frame as a bar for each column, from 0, the first row on top."""
    figure = go.Figure(layout={"barmode": "group", "showlegend": len(columns) > 1})
    for colour, (label, column) in zip(SERIES, columns.items(), strict=False):
        figure.add_bar(
            y=frame[name].to_list(), x=frame[column].to_list(), name=label, orientation="h", marker={"color": colour, "line": {"width": 0}},
            text=[numbers.count(value) for value in frame[column]], textposition="outside", cliponaxis=False,
        )  # fmt: skip
    height = 90 + (18 + 20 * len(columns)) * len(frame)
    room = 1.15 * max((frame[column].max() or 0 for column in columns.values() if len(frame)), default=0) or 1  # for the numbers
    return styled(
        figure, height, xaxis={"title": unit, "range": [0, room]}, yaxis={"autorange": "reversed", "showgrid": False, "type": "category"}
    )


@app.function(hide_code=True)
def smoothed(values: list[float], keep: float) -> list[float]:
    """An exponential moving average that is not drawn towards 0 at its beginning."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        found.append(mean / weight)
    return found


@app.function(hide_code=True)
def loss_figure(losses: pl.DataFrame, keep: float) -> go.Figure:
    """Loss over steps, the runs over each other; smoothed by `keep`, with what was measured behind it."""
    figure = go.Figure()
    finite = losses.filter(pl.col("loss").is_finite())
    for number, run in enumerate(losses["run_id"].unique(maintain_order=True)):
        colour = SERIES[number % len(SERIES)]
        train, heldout = (finite.filter((pl.col("run_id") == run) & (pl.col("split") == split)) for split in ("train", "heldout"))
        steps, values = train["step"].to_list(), train["loss"].to_list()
        if keep:
            figure.add_scatter(
                x=steps, y=values, name=f"{run}, measured", line={"color": colour, "width": 1}, opacity=0.35, showlegend=False
            )
        figure.add_scatter(x=steps, y=smoothed(values, keep), name=run, line={"color": colour, "width": 2})
        if len(heldout):
            figure.add_scatter(
                x=heldout["step"].to_list(), y=heldout["loss"].to_list(), name=f"{run}, held-out", mode="lines+markers",
                line={"color": colour, "width": 2, "dash": "dot"},
            )  # fmt: skip
    figure.update_layout(hovermode="x unified")
    return styled(figure, 340, xaxis={"title": "step", "showgrid": False}, yaxis={"title": "loss (nats a token)"})


@app.function(hide_code=True)
def timeline(spoken: list[codex.Event]) -> go.Figure:
    """Who was at work when: a lane for each role and tool, over the time since the session began."""
    began = min((event.ts - (event.latency_ms or 0) / 1000 for event in spoken), default=0.0)
    length = max((event.ts for event in spoken), default=0.0) - began
    scale, unit = next(((scale, unit) for scale, unit in ((3600, "hours"), (60, "minutes")) if length > 3 * scale), (1, "seconds"))
    lanes = {event.role if event.tool is None else f"tool {event.tool}": event.role for event in spoken}
    figure = go.Figure(layout={"barmode": "overlay", "showlegend": False})
    for lane, role in lanes.items():
        own = [event for event in spoken if (event.role if event.tool is None else f"tool {event.tool}") == lane]
        lasting, dots = ([event for event in own if (event.latency_ms is not None) is wanted] for wanted in (True, False))
        told = "%{customdata}<extra></extra>"
        figure.add_bar(
            y=[lane] * len(lasting), base=[(event.ts - event.latency_ms / 1000 - began) / scale for event in lasting],
            x=[event.latency_ms / 1000 / scale for event in lasting], orientation="h", customdata=[hover(event) for event in lasting],
            hovertemplate=told, marker={"color": ROLES[role], "line": {"color": ROLES[role], "width": 1.5}},
        )  # fmt: skip
        figure.add_scatter(
            y=[lane] * len(dots), x=[(event.ts - began) / scale for event in dots], mode="markers",
            customdata=[hover(event) for event in dots], hovertemplate=told, marker={"color": ROLES[role], "size": 7}, cliponaxis=False,
        )  # fmt: skip
    lanes_axis = {"type": "category", "categoryorder": "array", "categoryarray": list(lanes), "autorange": "reversed", "showgrid": False}
    return styled(figure, 80 + 30 * max(len(lanes), 3), xaxis={"title": f"{unit} since it began", "rangemode": "tozero"}, yaxis=lanes_axis)


@app.function(hide_code=True)
def milliseconds(value: float) -> str:
    """A time as people read it: "30 ms", "1.2 s", "2 min 5 s"."""
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s" if value < 60_000 else numbers.duration(value / 1000)


@app.function(hide_code=True)
def hover(event: codex.Event) -> str:
    """An event in a few words, as text that plotly shows as it is."""
    took = "" if event.latency_ms is None else f", {milliseconds(event.latency_ms)}"
    step = "" if event.step is None else f"step {event.step}, loss {numbers.loss(event.loss)} "
    return html.escape(f"{event.seq} {event.tool or event.role}{took}: {step}{shortened(event.content, 90)}")


@app.function(hide_code=True)
def transcript(spoken: list[codex.Event], said: dict) -> mo.Html:
    """What was said, in order; tool calls fold, and nothing of it is read as HTML."""
    worded = [event for event in spoken if event.content]
    shown = "".join(spoken_line(event, said.get(event.seq), spoken[0].ts) for event in worded[:SHOWN])
    rest = [
        *([f"{numbers.plural(len(worded) - SHOWN, 'event')} more with words"] if len(worded) > SHOWN else []),
        *([f"{numbers.plural(len(spoken) - len(worded), 'event')} without words"] if len(worded) < len(spoken) else []),
    ]
    more = f"<p style='color:{QUIET};margin:8px 0 0'>Not shown: {', '.join(rest)}.</p>" if rest else ""
    return mo.Html(f"<div style='font-size:14px;line-height:1.45'>{shown}{more}</div>")


@app.function(hide_code=True)
def spoken_line(event: codex.Event, said: object, began: float) -> str:
    """One event of a transcript."""
    figures = [numbers.duration(event.ts - began)]
    figures += [] if event.latency_ms is None else [f"took {milliseconds(event.latency_ms)}"]
    figures += [] if event.tokens_out is None else [numbers.plural(event.tokens_out, "token")]
    figures += [event.model] if event.model else []
    judged = " · ".join(filter(None, (WORDS.get(said.rating), said.note))) if said else ""
    who, quiet = html.escape(event.tool or event.role), f"<span style='color:{QUIET}'>{html.escape(' · '.join(figures))}</span>"
    head = f"<b style='color:{ROLES[event.role]}'>{who}</b> {quiet}" + (f" <b>{html.escape(judged)}</b>" if judged else "")
    body = f"<div style='white-space:pre-wrap;overflow-wrap:anywhere'>{html.escape(event.content)}</div>"
    if event.role == "tool":
        call = html.escape(json.dumps(event.attributes.get("arguments", {}), ensure_ascii=False))
        head, body = "", f"<details><summary>{head} <code>{call}</code></summary>{body}</details>"
    edit = f"<div style='white-space:pre-wrap'><b>better:</b> {html.escape(said.edit)}</div>" if said and said.edit else ""
    return f"<div style='border-left:3px solid {ROLES[event.role]};padding:2px 0 2px 10px;margin:8px 0'>{head}{body}{edit}</div>"


@app.function(hide_code=True)
def judged(log: codex.SessionLog, verdict: dict) -> tuple:
    """What was kept of a judgement, or why nothing was."""
    try:
        return log.annotate(**verdict), ()
    except codex.CodexError as error:
        return None, error.problems


@app.function(hide_code=True)
def said_of(log: codex.SessionLog, session: str | None) -> pl.DataFrame:
    """What was said of a session's events, as the log has it now."""
    rows = [] if session is None else log.annotations(session).values()
    return pl.DataFrame(
        [
            {"event": each.seq, "rated": WORDS.get(each.rating, ""), "note": each.note or "", "better answer": each.edit or ""}
            for each in rows
        ],
        schema={"event": pl.Int64, "rated": pl.String, "note": pl.String, "better answer": pl.String},
    ).sort("event")


@app.function(hide_code=True)
def found(log: codex.SessionLog, words: str, selection: codex.Selection) -> tuple[list, tuple]:
    """What a search finds, or why it cannot look."""
    try:
        return (log.search(words, selection, limit=20, prefix=not words.endswith((" ", '"'))) if words.strip() else []), ()
    except codex.UserError as error:
        return [], error.problems


@app.function(hide_code=True)
def ranked(hits: list) -> mo.Html:
    """What a search found, the best first, with its words marked."""
    if not hits:
        return mo.md("Nothing of what was chosen above has all these words.")
    lines = [
        f"<li style='margin:6px 0'>{highlighted(hit.snippet, hit.marks)}<br><span style='color:{QUIET}'>"
        f"{html.escape(f'{hit.event.role}, {hit.event.session} {hit.event.seq}, score {hit.score:.2f}')}</span></li>"
        for hit in hits
    ]
    return mo.Html(f"<ol style='padding-left:1.6em;list-style:decimal'>{''.join(lines)}</ol>")


@app.function(hide_code=True)
def highlighted(snippet: str, marks: tuple) -> str:
    """A snippet as HTML in which only the marks are markup."""
    parts, at = [], 0
    for start, end in marks:
        parts += [html.escape(snippet[at:start]), f"{MARK}{html.escape(snippet[start:end])}</mark>"]
        at = end
    return "".join([*parts, html.escape(snippet[at:])])


@app.function(hide_code=True)
def written_data(home: codex.Workspace, choice: log_data.Choice, name: str) -> tuple:
    """The data set that was written, or why it was not."""
    try:
        return log_data.write(home, choice, name), ()
    except codex.CodexError as error:
        return None, error.problems


@app.function(hide_code=True)
def in_parquet(frame: pl.DataFrame) -> bytes:
    """A frame as the bytes of a Parquet file."""
    target = io.BytesIO()
    frame.write_parquet(target)
    return target.getvalue()


if __name__ == "__main__":
    app.run()
