"""In which form a run's examples were: a model that learnt plain prompts must be asked in plain prompts."""

from __future__ import annotations

from typing import Any, get_args

from codex.config.schema import RunConfig
from codex.core.errors import DataError, RunError
from codex.core.files import write_atomic
from codex.core.paths import Workspace
from codex.data.examples import Form
from codex.data.load import BUILT_IN, load
from codex.runs.record import Run, json_object
from codex.services.encoding import same_data_as_before

DATA_FORM = "data.form"
"""The file in a run's folder that holds the form of the data that it began with."""


def keep_form(run: Run, form: Form) -> None:
    """Write the form down before anything is learnt, so that an adapter never lies there without it."""
    write_atomic(run.folder / DATA_FORM, form)


def learnt_form(run: Run, config: RunConfig, workspace: Workspace) -> Form:
    """The form of what `run` learnt; of a run of an older version from its report, or, without one, from its data.

    Raises:
        RunError: there is none of them.
    """
    if (form := told_form(run)) is not None:
        return form
    if config.data.source in BUILT_IN:
        return "messages"  # all that Codex builds itself are conversations, and building them takes many seconds
    try:
        data = load(config.data, config.seed, workspace, judged=False)
        same_data_as_before(run, data.fingerprint)
    except DataError as error:
        raise RunError(
            f"the form of what run {run.id!r} learnt is unknown: {DATA_FORM} and report.json do not say it; {error.problems[0].what}",
            f"expected one of {', '.join(get_args(Form))}",
            f"Put its data back, or write the form down: `echo prompt-completion > {str(run.folder / DATA_FORM)!r}`.",
        ) from error
    return data.train[0].form


def told_form(run: Run) -> Form | None:
    """The form that the run's own files tell, without looking at its data; None when they do not."""
    return _kept(run) or _reported(run)


def _kept(run: Run) -> Form | None:
    try:
        return _form(run.folder.joinpath(DATA_FORM).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return None


def _reported(run: Run) -> Form | None:
    """What the report says; a report that cannot be read says nothing here, for `runs show` says what is wrong with it."""
    try:
        return _form(json_object(run.report.read_text(encoding="utf-8"))["data"]["form"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _form(said: Any) -> Form | None:
    return said if said in get_args(Form) else None
