"""Models on a hub: reached only when the person names one, fetched only when the person has confirmed."""

from __future__ import annotations

import fnmatch
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex.core.errors import ModelError
from codex.models.folder import CONFIG, INDEX, TOKENIZERS, WEIGHTS, inspect_folder

PREFIX = "hub:"
SMALL_FILES = (
    *(CONFIG, "generation_config.json", INDEX, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json", *(name for names in TOKENIZERS for name in names)),
)
SHARDS = "model-*-of-*.safetensors"
CONFIRM = "set `model.confirm_download=true`"

OnDownload = Callable[[int, int], None]
"""Told (bytes fetched, bytes in all) while a model is fetched."""


class Unconfirmed(ModelError):
    """A hub model is not on this machine, and the person has not confirmed that it may be fetched.

    Args:
        what, expected: as in every error.
        otherwise: what else could be done, up to the confirmation.
        confirm: how the person confirms.
    """

    def __init__(self, what: str, expected: str, otherwise: str = "", confirm: str = CONFIRM) -> None:
        self._said = (what, expected, otherwise)
        fix = f"{otherwise}{confirm}."
        super().__init__(what, expected, fix[0].upper() + fix[1:])

    def confirmed_by(self, confirm: str) -> Unconfirmed:
        """The same for a face where no setting confirms: "add `--confirm-download`"."""
        return Unconfirmed(*self._said, confirm)


class _Unreachable(Exception):
    """The hub gave no answer; the text says why."""


@dataclass(frozen=True)
class HubModel:
    """A model on a hub, written `hub:owner/name` or `hub:owner/name@revision`."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, source: str) -> HubModel:
        """The model that `source` names.

        Raises:
            ModelError: the name is none that a hub can have.
        """
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        repo, _, revision = source.removeprefix(PREFIX).partition("@")
        try:
            validate_repo_id(repo)
            if repo.count("/") != 1:
                raise HFValidationError
        except HFValidationError:
            raise ModelError(
                f"`model.source` is {source!r}",
                "expected `hub:owner/name` or `hub:owner/name@revision`",
                "Write it as its page on the hub does.",
            ) from None
        return cls(repo, revision or "main")

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision != "main" else self.repo


@dataclass(frozen=True)
class Wanted:
    """What would be fetched: file name → bytes."""

    small: dict[str, int]
    weights: dict[str, int]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(self.small.values()) + sum(self.weights.values())

    def __str__(self) -> str:
        return f"{readable_bytes(self.size_bytes)} in {len(self.small) + len(self.weights)} files"


def readable_bytes(size: int) -> str:
    """`size` as people say it: "1.2 GB"."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def cached_folder(model: HubModel) -> Path | None:
    """Where the whole model lies in the hub's cache on this machine; None when it does not. Contacts nobody."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model.repo, revision=model.revision, allow_patterns=[CONFIG], local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    if not (folder / WEIGHTS).is_file() and not (folder / INDEX).is_file():
        return None
    try:
        inspect_folder(folder, PREFIX + str(model))
    except ModelError as error:
        if "is incomplete" in str(error):
            return None
        raise
    return folder


def obtain(model: HubModel, *, confirmed: bool, on_download: OnDownload | None = None) -> Path:
    """The folder of a hub model: from the hub's cache when it is there, else fetched when the person has confirmed.

    Raises:
        Unconfirmed: the message says the size.
        ModelError: it cannot be had or used.
    """
    folder = cached_folder(model)
    if folder is not None:
        return folder
    try:
        with _hub_errors(model):
            wanted = _wanted(model)
            if not confirmed:
                raise Unconfirmed(
                    f"the hub model {str(model)!r} is not on this machine; fetching it takes {wanted}",
                    "expected your word before a download",
                )
            return _fetch(model, wanted, on_download or (lambda done, total: None))
    except _Unreachable as error:
        what = f"the hub model {str(model)!r} is not on this machine, and its size is unknown because {error}"
        expected = "expected a model that lies on this machine, or a hub that answers"
        if not confirmed:
            raise Unconfirmed(what, expected, "Name a local folder; or reach the hub and ") from None
        raise ModelError(what, expected, "Name a local folder; or reach the hub.") from None


@contextmanager
def _hub_errors(model: HubModel) -> Iterator[None]:
    """Say what the hub answered in the person's words."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"the hub model {str(model)!r} is gated",
            "expected an account that its owner has admitted",
            "Accept its terms on its page, then log in: `hf auth login`.",
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"the hub has no model {model.repo!r}, or it is private",
            "expected the owner and name of a model that you may read",
            "Look at the spelling; for a private one log in: `hf auth login`.",
        ) from None
    except RevisionNotFoundError:
        raise ModelError(
            f"the hub model {model.repo!r} has no revision {model.revision!r}",
            "expected a branch, a tag or a commit",
            f"Use `{PREFIX}{model.repo}`.",
        ) from None
    except OfflineModeIsEnabled:
        raise _Unreachable("the hub is switched off (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set)") from None
    except (httpx2.HTTPError, LocalEntryNotFoundError) as error:
        raise _Unreachable(f"the hub cannot be reached ({type(error).__name__})") from error
    except OSError as error:
        raise ModelError(
            f"the hub model {str(model)!r} cannot be stored ({error.strerror or error})",
            "expected a cache folder that can be written",
            "Set `HF_HOME` to one.",
        ) from error


def _wanted(model: HubModel) -> Wanted:
    """The files that make the model, as the hub lists them."""
    from huggingface_hub import HfApi, constants

    # Only these requests are wanted; huggingface_hub would add one more to learn about the program that calls it.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    info = HfApi().model_info(model.repo, revision=model.revision, files_metadata=True)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
    weights = {name: size for name, size in sizes.items() if name == WEIGHTS}
    if not weights and INDEX in sizes:
        weights = {name: size for name, size in sizes.items() if fnmatch.fnmatchcase(name, SHARDS) and "/" not in name}
    if not weights:
        raise ModelError(
            f"the hub model {str(model)!r} has no safetensors weights",
            f"expected {WEIGHTS}, or {INDEX} with its files",
            "Choose a version of it that has them.",
        )
    return Wanted({name: size for name, size in sizes.items() if name in SMALL_FILES}, weights)


def _fetch(model: HubModel, wanted: Wanted, on_download: OnDownload) -> Path:
    from huggingface_hub import snapshot_download

    _refuse_full_disk(model, wanted)
    bar = _byte_counter(wanted.size_bytes, on_download)
    folder = Path(snapshot_download(model.repo, revision=model.revision, allow_patterns=sorted(wanted.small), tqdm_class=bar))
    _refuse_own_code(model, folder)  # before gigabytes are fetched for nothing
    snapshot_download(model.repo, revision=folder.name, allow_patterns=sorted(wanted.weights), tqdm_class=bar)
    return folder


def _refuse_full_disk(model: HubModel, wanted: Wanted) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < wanted.size_bytes:
        raise ModelError(
            f"the hub model {str(model)!r} takes {readable_bytes(wanted.size_bytes)}, and {str(place)!r} has {readable_bytes(free)} free",
            "expected room for all of it",
            "Make room, or set `HF_HOME` to a folder on another disk.",
        )


def _refuse_own_code(model: HubModel, folder: Path) -> None:
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8")) if (folder / CONFIG).is_file() else {}
    if "auto_map" in config:
        raise ModelError(
            f"the hub model {str(model)!r} brings its own code (`auto_map` in {CONFIG})",
            "expected an architecture that transformers has built in; code from a model is never run",
            "Choose another model.",
        )


def _byte_counter(total: int, on_download: OnDownload) -> Any:
    """A silent progress bar class that adds up what all files of a download have brought."""
    from huggingface_hub.utils import tqdm

    done, lock = 0, threading.Lock()

    class Counter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            if self._counts and n:
                with lock:
                    done += int(n)
                    on_download(min(done, total), total)
            return super().update(n)

    return Counter
