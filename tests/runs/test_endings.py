"""What an error is taken for."""

from __future__ import annotations

import errno
import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import ConfigError, Problem, RunError
from codex.runs.endings import Exit, ending_of_error, ending_of_exit, log_tail, plain
from codex.runs.status import Ending, ending_json


class OutOfMemoryError(RuntimeError):
    """Named like torch's, for no GPU is needed to raise it."""


def of(error: BaseException, folder: Path) -> tuple[str, bool]:
    ending = ending_of_error(error, folder)
    json.dumps(ending_json(ending, 1), ensure_ascii=False).encode()
    assert ending.state == "failed"
    return ending.reason.kind, ending.reason.sentence.startswith("The disk is full")


def raised(act: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 64 bytes."),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_error_of_memory_is_out_of_memory_also_when_wrapped(tmp_path: Path, error: Exception) -> None:
    assert of(error, tmp_path) == ("out of memory", False)
    try:
        raise ValueError("the batch could not be made") from error
    except ValueError as wrapped:
        assert of(wrapped, tmp_path) == ("out of memory", False)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "weights"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("write(): fd 3 failed with No space left on device"),
        Exception("(sqlite3.OperationalError) database or disk is full"),
    ],
)
def test_error_of_the_disk_says_that_it_is_full_also_when_handled_badly(tmp_path: Path, error: Exception) -> None:
    assert of(error, tmp_path) == ("error", True)
    try:
        try:
            raise error
        except Exception:  # noqa: BLE001
            raise KeyError("the report")  # noqa: B904 - a handler that breaks hides what it handled
    except KeyError as second:
        assert of(second, tmp_path) == ("error", True)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a sentence about memory"),
        OSError(errno.EACCES, "Permission denied"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),  # with room on the disk
        ValueError("it mentions an out of memory error in the data"),
        RunError("what", "expected", "fix"),
        SystemExit(1),
        KeyboardInterrupt(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(errno.ENOENT, "No such file", "name-\udcff"),
    ],
)
def test_other_error_is_an_error(tmp_path: Path, error: BaseException) -> None:
    assert of(error, tmp_path) == ("error", False)


def test_memory_of_what_filled_it_is_free_before_its_story_is_told(tmp_path: Path) -> None:
    class Weights:
        """Stands for gigabytes."""

    held: list[weakref.ref[Weights]] = []

    def fill() -> None:
        weights = Weights()
        held.append(weakref.ref(weights))
        raise MemoryError

    try:
        fill()
    except MemoryError as error:
        assert held[0]() is not None
        assert of(error, tmp_path) == ("out of memory", False)
        assert held[0]() is None


def test_error_handled_and_hidden_is_not_the_reason(tmp_path: Path) -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("mended, then wrong for another reason") from None
    except ValueError as error:
        assert of(error, tmp_path) == ("error", False)


def test_errors_that_go_round_in_a_circle_end(tmp_path: Path) -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert of(first, tmp_path) == ("error", False)


def test_user_error_keeps_all_its_problems_and_no_traceback(tmp_path: Path) -> None:
    problems = [Problem("`a` is 0", "expected 1", "Set a=1."), Problem("`b` is 0", "expected 2", "Set b=2.")]
    reason = ending_of_error(ConfigError(problems), tmp_path).reason
    assert (reason.sentence, reason.lines) == ("`a` is 0; expected 1. Set a=1.", ("`b` is 0; expected 2. Set b=2.",))


def test_errors_of_the_real_libraries_are_named(small_disk: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights = torch.zeros(500_000)
    file = small_disk / "weights"
    for save in (
        lambda: save_file({"a": weights}, file),
        lambda: torch.save({"a": weights}, file),
        lambda: torch.save({"a": weights}, file, _use_new_zipfile_serialization=False),
    ):
        assert of(raised(save), small_disk) == ("error", True)
        file.unlink(missing_ok=True)
    assert of(raised(lambda: torch.empty(2**46)), small_disk) == ("out of memory", False)
    assert of(torch.OutOfMemoryError("CUDA out of memory."), small_disk) == ("out of memory", False)


@pytest.mark.parametrize(
    ("seen", "state", "kind", "signal_name"),
    [
        (Exit(0), "failed", "error", None),
        (Exit(1), "failed", "error", None),
        (Exit(-9), "failed", "killed", "SIGKILL"),
        (Exit(-9, out_of_memory=True), "failed", "out of memory", "SIGKILL"),
        (Exit(-9, stop_asked="stop"), "failed", "killed", "SIGKILL"),
        (Exit(-9, stop_asked="force"), "stopped", "stopped", "SIGKILL"),
        (Exit(-9, out_of_memory=True, stop_asked="force"), "stopped", "stopped", "SIGKILL"),
        (Exit(-15, stop_asked="stop"), "stopped", "stopped", "SIGTERM"),
        (Exit(-15), "failed", "killed", "SIGTERM"),
        (Exit(-11, out_of_memory=True), "failed", "killed", "SIGSEGV"),
        (Exit(-41), "failed", "killed", "signal 41"),
    ],
)
def test_exit_without_a_word_is_told_from_the_signal(seen: Exit, state: str, kind: str, signal_name: str | None) -> None:
    ending = ending_of_exit(seen)
    assert (ending.state, ending.reason.kind, ending.reason.signal) == (state, kind, signal_name)
    assert isinstance(ending, Ending) and ending.reason.sentence.endswith(".")


def test_log_tail_gives_the_last_lines_of_this_attempt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ()
    log.write_bytes(b"old\n" + b"".join(b"line %d\n" % number for number in range(100)) + b"\xff torn")
    assert len(log_tail(log)) == 20 and log_tail(log)[-2:] == ("line 99", "\ufffd torn")
    size = log.stat().st_size
    with open(log, "ab") as file:
        file.write(b"\nnew " + b"x" * 100_000)
    assert [len(line) for line in log_tail(log, size)] in ([0, 1000], [1000])
    assert log_tail(log, 10**9) == ()


def test_plain_text_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"f\xff\xc3\xbc")
    (tmp_path / "x").write_text(plain(name), encoding="utf-8")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "f\\udcffü"
