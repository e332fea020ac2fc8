"""The text index is derived: whatever happens to it is noticed, said in words, and mended from the parts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import UserError, WorkspaceError
from codex.core.events import Event
from codex.sessionlog import SessionLog
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.doctor import examine, repair
from codex.sessionlog.text import IndexDamaged, TextIndex
from tests.sessionlog.conftest import ROOT
from tests.sessionlog.logs import by_key, some_events, write_segments

FILES = ("meta.json", ".managed.json", "*.idx", "*.term", "*.store", "*.fieldnorm", "*.fast", "*.pos")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = [byte ^ 0x55 for byte in data[len(data) // 4 : len(data) // 2]]
    path.write_bytes(data)


def lose(path: Path) -> None:
    path.unlink()


@pytest.fixture
def compacted(log: SessionLog, events: list[Event]) -> SessionLog:
    write_segments(log.folder, events)
    log.compact()
    return log


@pytest.fixture
def events() -> list[Event]:
    return some_events(200, days=1)


def found(log: SessionLog) -> set[tuple[str, int]]:
    return {(hit.event.session, hit.event.seq) for hit in log.search("verdict", limit=500)}


def test_any_damage_of_any_file_is_named_and_search_says_it_in_words(compacted: SessionLog, tmp_path: Path) -> None:
    assert TextIndex(compacted.folder).damage() is None
    right, tried = found(compacted), 0
    for name in FILES:
        for harm in (cut, flip, lose):
            folder = tmp_path / f"{tried}"
            shutil.copytree(compacted.folder, folder)
            (path,) = (folder / "text-1").glob(name)
            harm(path)
            if TextIndex(folder).exists():
                assert TextIndex(folder).damage(), (name, harm)
            assert [finding.harm for finding in examine(folder).findings] == ["search incomplete"], (name, harm)
            try:
                assert found(SessionLog(folder)) <= right
            except WorkspaceError as error:
                assert "doctor --repair" in str(error)
            tried += 1
    assert tried == 24


@pytest.mark.parametrize(("name", "harm"), [("*.store", flip), ("*.pos", lose), ("meta.json", cut), ("*.idx", cut)])
def test_damaged_index_is_made_anew_by_compaction(
    compacted: SessionLog, events: list[Event], name: str, harm: Callable[[Path], None]
) -> None:
    right = found(compacted)
    (path,) = (compacted.folder / "text-1").glob(name)
    harm(path)
    write_segments(compacted.folder, [event.model_copy(update={"session": f"x-{event.session}"}) for event in events], count=1, seed=9)
    assert compacted.compact().events == len(events)
    assert found(SessionLog(compacted.folder)) == right | {(f"x-{session}", seq) for session, seq in right}
    assert examine(compacted.folder).ok


def test_repair_makes_a_damaged_index_anew(compacted: SessionLog) -> None:
    right = found(compacted)
    (path,) = (compacted.folder / "text-1").glob("*.term")
    flip(path)
    assert repair(compacted.folder) == ("The text index was made anew.",)
    assert found(SessionLog(compacted.folder)) == right and examine(compacted.folder).ok


def test_damage_that_no_sum_tells_is_mended_when_it_is_met(compacted: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    right = found(compacted)
    part = Compactor(compacted.folder).manifest.parts[0]
    (path,) = (compacted.folder / "text-1").glob("*.pos")
    path.unlink()
    monkeypatch.setattr(TextIndex, "damage", lambda _: None)
    compactor = Compactor(compacted.folder)
    compactor.publish(parts=(part.model_copy(update={"indexed": False}), *compactor.manifest.parts[1:]))
    compacted.compact()
    assert found(SessionLog(compacted.folder)) == right


def test_full_disk_while_indexing_is_said_in_words_and_loses_nothing(
    log: SessionLog, events: list[Event], run_python: Callable[..., str]
) -> None:
    write_segments(log.folder, events)
    said = run_python(
        """
import resource, signal, sys
from pathlib import Path
from codex.core.errors import WorkspaceError
from codex.sessionlog import SessionLog
from codex.sessionlog.text import Writing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
real = Writing.add
def add(*arguments):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))  # a file that would grow past this gets EFBIG
    real(*arguments)
Writing.add = add
try:
    SessionLog(Path(sys.argv[1])).compact()
except WorkspaceError as error:
    print("refused:", error)
""",
        log.folder,
    )
    assert said.startswith("refused: the text index") and "Free some room" in said
    assert by_key(log.scan()) == by_key(events) and found(log)
    log.compact()
    assert by_key(log.scan()) == by_key(events) and examine(log.folder).ok


def test_part_that_changed_under_its_old_time_is_said_in_words(compacted: SessionLog) -> None:
    import os

    for part in compacted.folder.glob("parts/*/*"):
        state, data = part.stat(), bytearray(part.read_bytes())
        data[200:-400] = [byte ^ 0x5A for byte in data[200:-400]]
        part.write_bytes(data)
        os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    log = SessionLog(compacted.folder)
    asked: list[Callable[[], object]] = [
        lambda: log.search("verdict"),
        lambda: list(log.scan()),
        lambda: log.rows("select sum(length(content)) from events"),
        lambda: log.annotations("s-1"),
        lambda: log.events("s-1"),
        lambda: list(log.tail()),
    ]
    for question in asked:
        with pytest.raises(UserError, match="logs doctor"):
            question()


def test_search_for_none_finds_none(compacted: SessionLog) -> None:
    assert compacted.search("verdict", limit=0) == []


def test_event_that_stands_in_the_index_twice_takes_no_other_ones_place(compacted: SessionLog) -> None:
    right = found(compacted)
    (part,) = Compactor(compacted.folder).manifest.parts
    index = TextIndex(compacted.folder)
    with index.writing() as writing:
        for copy in range(3):
            (compacted.folder / f"{copy}.parquet").write_bytes((compacted.folder / part.name).read_bytes())
            writing.add(part.model_copy(update={"name": f"{copy}.parquet"}))
    for limit in (1, 5, len(right) - 1, len(right), 500):
        assert len({(hit.event.session, hit.event.seq) for hit in compacted.search("verdict", limit=limit)}) == min(limit, len(right))


READ = """
import subprocess, sys
from pathlib import Path
from codex.core.errors import WorkspaceError
from codex.sessionlog import SessionLog
from codex.sessionlog.doctor import examine
from codex.sessionlog.text import IndexDamaged, TextIndex
folder = Path(sys.argv[1])
log, late = SessionLog(folder), SessionLog(folder)
assert late.search("verdict")
for command in ("--bind {0} {0}", "-o remount,ro,bind {0}"):
    subprocess.run(["mount", *command.format(folder).split()], check=True)
late._lookup._disk._as_of = None  # as after a compaction
found = {(hit.event.session, hit.event.seq) for hit in log.search("verdict", limit=500)}
assert found == {(hit.event.session, hit.event.seq) for hit in late.search("verdict", limit=500)}
try:
    with TextIndex(folder).writing():
        pass
except WorkspaceError as error:
    assert type(error) is WorkspaceError, error
    print(len(found), examine(folder).findings, TextIndex(folder).damage(), str(error).partition(".")[2])
"""


def test_index_in_a_folder_that_may_only_be_read_is_searched_and_not_called_damaged(compacted: SessionLog, tmp_path: Path) -> None:
    right = found(compacted)
    shutil.copytree(compacted.folder, tmp_path / "log")
    (tmp_path / "temporary").mkdir()
    prefix = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", READ, str(tmp_path / "log")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{len(right)} () None") and "nothing says that the index is damaged" in done.stdout
    assert not list((tmp_path / "temporary").iterdir())


def test_index_that_may_not_be_read_is_not_called_damaged(compacted: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied", "meta.json")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(WorkspaceError, match=r"cannot be used .*Permission denied") as caught:
        TextIndex(compacted.folder).damage()
    assert not isinstance(caught.value, IndexDamaged)


def test_index_that_cannot_be_removed_is_said(compacted: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(WorkspaceError, match="cannot be removed"):
        TextIndex(compacted.folder).remove()


def test_changes_that_end_with_an_error_are_forgotten_and_others_go_on(compacted: SessionLog) -> None:
    (part,) = Compactor(compacted.folder).manifest.parts
    index = TextIndex(compacted.folder)
    count = index.open().searcher().num_docs
    with pytest.raises(ZeroDivisionError) as kept, index.writing() as writing:  # who keeps an error keeps its frames and what is in them
        writing.add(part.model_copy(update={"day": "2026-11-24"}))
        _ = 1 / 0
    with index.writing() as writing:
        writing.add(part)
    assert index.open().searcher().num_docs == count and kept.value.__traceback__


def test_damaged_list_of_removed_rows_is_named(log: SessionLog) -> None:
    write_segments(log.folder, some_events(60, days=2))
    log.compact()
    with TextIndex(log.folder).writing() as writing:  # only one of two: its rows are removed from where both are
        writing.add(Compactor(log.folder).manifest.parts[0])
    (path,) = (log.folder / "text-1").glob("*.del")
    assert TextIndex(log.folder).damage() is None
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert TextIndex(log.folder).damage() == f"{path.name!r} is not what was written"
