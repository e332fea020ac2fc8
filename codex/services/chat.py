"""Talk to a base, an adapter, or both side by side; every chat is a session in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from codex.core.errors import RunError
from codex.core.paths import Workspace, is_there, typed_path
from codex.core.protocols import Message
from codex.sessionlog import SessionLog

if TYPE_CHECKING:
    from codex.config.schema import ModelConfig, RunConfig
    from codex.inference.local import Finish, LocalModel
    from codex.runs.record import Run

Side = Literal["base", "adapter", "both"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Piece:
    """A piece of an answer.

    Args:
        side: "base" or "adapter"; "model" where there is only one.
        text: what was added.
        done: whether the answer is complete; `text` is then empty.
        tokens_per_s: speed of the answer, once it is complete.
        finish: why it ended, once it is complete: `end`, `length`, `context` or `stopped`.
    """

    side: str
    text: str
    done: bool = False
    tokens_per_s: float | None = None
    finish: str | None = None


@dataclass(frozen=True)
class ChatSettings:
    """How answers are made; `temperature` 0 is greedy, and one seed gives one answer."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    seed: int = 42


class Chat:
    """One conversation, with a history of its own for each side; where the model takes plain prompts, each stands alone.

    Args:
        model: loaded; with an adapter when "adapter" is among the sides.
        sides: who answers, in order.
        workspace: whose log keeps the conversation.
        settings: how answers are made.
        title: of the session.
    """

    def __init__(self, model: LocalModel, sides: Sequence[str], workspace: Workspace, settings: ChatSettings, title: str) -> None:
        self._model = model
        self.sides = tuple(sides)
        self.settings = settings
        self._history: dict[str, list[Message]] = {side: [] for side in sides}
        self._log = SessionLog.open(workspace)
        self._session = self._log.session(kind="chat", title=title)

    @property
    def id(self) -> str:
        """The id of its session in the log."""
        return self._session.id

    def __enter__(self) -> Chat:
        self._session.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._session.__exit__(*error)
        self._log.close()

    def ask(self, text: str, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Piece]:
        """Answers of each side to `text`, piece by piece; both sides see the same seed."""
        self._session.append(role="user", content=text)
        for side in self.sides:
            yield from self._answer(side, text, should_stop)

    def _answer(self, side: str, text: str, should_stop: Callable[[], bool]) -> Iterator[Piece]:
        asked = [*self._history[side], Message("user", text)]
        started, pieces = time.monotonic(), list[str]()
        settings = self.settings
        with self._model.with_adapter(side == "adapter"):
            stream = self._model.stream(
                asked,
                max_new_tokens=settings.max_new_tokens,
                temperature=settings.temperature,
                seed=settings.seed,
                should_stop=should_stop,
            )
            finish = yield from _pieces(side, stream, pieces)
        seconds = time.monotonic() - started
        answer = "".join(pieces)
        if not self._model.plain:  # a plain prompt has nothing before it
            self._history[side] = [*asked, Message("assistant", answer)]
        self._session.append(
            role="assistant",
            content=answer,
            attributes={"side": side, "temperature": settings.temperature, "seed": settings.seed, "finish": finish.reason},
            model=self._model.name,
            latency_ms=seconds * 1000,
            tokens_in=finish.tokens_in,
            tokens_out=finish.tokens_out,
        )
        yield Piece(side, "", done=True, tokens_per_s=finish.tokens_out / seconds if seconds > 0 else None, finish=finish.reason)


def _pieces(side: str, stream: Generator[str, None, Finish], kept: list[str]) -> Generator[Piece, None, Finish]:
    """The stream's pieces as they come, kept in `kept`; then how it ended."""
    while True:
        try:
            text = next(stream)
        except StopIteration as end:
            return end.value
        kept.append(text)
        yield Piece(side, text)


def _is_model(target: str) -> bool:
    path = typed_path(target)
    return target == "codex-tiny" or target.startswith("hub:") or (target.strip() != "" and is_there(path) and path.is_dir())


def default_target(workspace: Workspace) -> str:
    """Whom a person wants to talk to who names nobody: the newest run with a result, else codex-tiny."""
    from codex.runs.store import RunStore

    trained = [view.run.id for view in RunStore(workspace).list() if view.run.adapter.is_dir()]
    return trained[-1] if trained else "codex-tiny"


@dataclass(frozen=True)
class Found:
    """Whom a target names; weights are yet to be loaded.

    Args:
        name: of the run or model.
        source: the model that is loaded, as `model.source` says it.
        device: where its weights go.
        key: equal for what has the same weights on the same device.
        sides: who answers, in order: "base", "adapter" or both; "model" where there is only one.
        load: loads the weights.
    """

    name: str
    source: str
    device: Device
    key: str
    sides: tuple[str, ...]
    load: Callable[[], LocalModel]


def open_chat(
    target: str,
    side: Side | None,
    *,
    workspace: Workspace,
    settings: ChatSettings,
    confirm_download: bool = False,
    device: Device | None = None,
) -> Chat:
    """Load what `target` names and begin a conversation.

    Args:
        target: a run's id, number, title or `last`; or a model: `codex-tiny`, a folder, `hub:owner/name`.
        side: who answers; None takes both for a run with an adapter, base for a model.
        workspace: where runs and models are.
        settings: how answers are made.
        confirm_download: whether a hub model may be fetched that is not on this machine; a run's base too.
        device: where the weights go; None takes a run's as it was configured, and `auto` for a model.

    Raises:
        RunError: the run has no adapter yet, or a model was asked for its adapter.
        ModelError: the model cannot be used, or would have to be fetched and is not confirmed.
    """
    from codex.models.hub import Unconfirmed

    found = find(target, side, workspace=workspace, confirm_download=confirm_download, device=device)
    try:
        model = found.load()
    except Unconfirmed as error:
        raise error.confirmed_by("add `--confirm-download`") from None
    return Chat(model, found.sides, workspace, settings, title_of(found))


def title_of(found: Found) -> str:
    """What the session of a chat with it is called."""
    return f"Chat with {found.name}"


def find(target: str, side: Side | None, *, workspace: Workspace, confirm_download: bool = False, device: Device | None = None) -> Found:
    """Whom `target` names, and whether `side` can answer; arguments as of `open_chat`.

    Raises:
        RunError: the run has no adapter yet, or there is no such side.
    """
    from codex.runs.record import run_number

    # A run's id is a run's, also where a folder is called so: given inside `runs/`, it would be taken for a model.
    is_run = run_number(target.strip()) is not None and (workspace.runs / target.strip()).is_dir()
    find_it = _find_model if _is_model(target) and not is_run else _find_run
    return find_it(target, side, workspace, {"confirm_download": True} if confirm_download else {}, device)


def _find_model(target: str, side: Side | None, workspace: Workspace, confirmed: Mapping[str, bool], device: Device | None) -> Found:
    """A model that is no run's."""
    from codex.config.schema import ModelConfig

    if side in ("adapter", "both"):
        raise RunError(
            f"{target!r} is a model, not a run", "expected a run for `--side adapter` or `both`", "List the runs: `codex-ml runs list`."
        )
    asked = ModelConfig.model_validate({"source": target, "device": device or "auto", **confirmed})
    return Found(target, target, asked.device, f"{target} on {asked.device}", ("model",), lambda: _load(asked, workspace, target))


def _load(asked: ModelConfig, workspace: Workspace, name: str, *, plain: bool = False) -> LocalModel:
    """A model as it stands, in its own precision."""
    from codex.inference.local import LocalModel
    from codex.models.load import load_model, load_tokenizer

    return LocalModel(load_model(asked, workspace, quantization=None), load_tokenizer(asked, workspace), name=name, plain=plain)


def _learnt_plain(run: Run, config: RunConfig, workspace: Workspace) -> bool:
    """Whether the run learnt plain prompts and completions, or text, for which a chat template would be a foreign language."""
    from codex.services.learnt_form import learnt_form

    return learnt_form(run, config, workspace) != "messages"


def _find_run(target: str, side: Side | None, workspace: Workspace, confirmed: Mapping[str, bool], device: Device | None) -> Found:
    """A run's base with its adapter, or the model that it trained."""
    from codex.config.composed import load_resolved
    from codex.config.schema import ModelConfig
    from codex.runs.store import RunStore

    run = RunStore(workspace).get(target)
    config = load_resolved(run.resolved)
    if not run.adapter.is_dir():
        ended = RunStore(workspace).view(run).state in ("failed", "stopped")
        act = "Let it go on: `codex-ml runs resume" if ended else "Follow it: `codex-ml runs follow"
        raise RunError(
            f"run {run.id!r} has no adapter yet",
            "expected a run that has finished training",
            f"{act} {run.id}`; or talk to its base: `codex-ml chat {config.model.source}`.",
        )
    on: Device = device or ("auto" if config.method.trains_all_weights else config.model.device)
    key = f"{run.folder} of {run.adapter.stat().st_mtime_ns} on {on}"
    if config.method.trains_all_weights:
        if side in ("base", "both"):
            raise RunError(
                f"run {run.id!r} trained all weights, so its base is another model",
                "expected no `--side`",
                f"Talk to the base by its own name: `codex-ml chat {config.model.source}`.",
            )
        trained = ModelConfig.model_validate({"source": str(run.adapter), "device": on})

        def load_trained() -> LocalModel:
            return _load(trained, workspace, run.id, plain=_learnt_plain(run, config, workspace))

        return Found(run.id, trained.source, on, key, ("model",), load_trained)
    asked = config.model.model_copy(update={"device": on, **confirmed})
    sides = ("base", "adapter") if side is None or side == "both" else (side,)
    return Found(run.id, asked.source, on, key, sides, lambda: _load_adapted(run, config, asked, workspace))


def _load_adapted(run: Run, config: RunConfig, asked: ModelConfig, workspace: Workspace) -> LocalModel:
    """A run's base, held as it was trained on, with the run's adapter."""
    from codex.inference.local import LocalModel
    from codex.models.load import attach_adapter, load_model, load_tokenizer

    plain = _learnt_plain(run, config, workspace)  # before the weights: it may be unknown
    base = load_model(asked, workspace, quantization=config.method.quantization())
    adapted: Any = attach_adapter(base, run.adapter)
    return LocalModel(adapted, load_tokenizer(asked, workspace), name=run.id, plain=plain)
