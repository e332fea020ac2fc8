"""Secrets do not reach the disk, by whichever way events come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import SessionLog

TOKEN = "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567"


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_appended_secrets_are_replaced_and_counted(log: SessionLog) -> None:
    with log.session("chat", f"with {TOKEN}", id="c", attributes={"api_key": TOKEN}) as session:
        said = session.append("user", f"use {TOKEN} and {TOKEN}", attributes={"nested": [{"token": TOKEN}]})
        plain = session.append("assistant", "no secret here")
    assert re.fullmatch(r"use (\[redacted:[a-z-]+\]) and \1", said.content)
    assert said.redacted == 3 and plain.redacted == 0
    assert log.events("c")[0].redacted == 2
    assert TOKEN.encode() not in on_disk(log.folder)
    assert log.sql("select sum(redacted)::bigint from events").fetchall() == [(5,)]
    assert log.find()[0].redacted == 5


def test_exception_that_names_a_secret_is_redacted(log: SessionLog) -> None:
    with pytest.raises(ValueError, match="hf_"), log.session("notebook", id="n"):
        raise ValueError(f"bad token {TOKEN}")
    assert TOKEN.encode() not in on_disk(log.folder)


def test_ingested_and_annotated_secrets_are_replaced(log: SessionLog) -> None:
    log.ingest([Event(session="i", seq=0, ts=1.0, role="user", kind="chat", content=TOKEN)])
    log.annotate("i", 0, note=f"my {TOKEN}", edit=TOKEN)
    assert TOKEN.encode() not in on_disk(log.folder)
    assert log.events("i")[0].redacted == 1


def test_rules_of_the_workspace_count(log: SessionLog, folder: Path) -> None:
    (folder / "redaction.yaml").write_text("extra:\n  badge: 'B-[0-9]{6}'\n")
    with log.session("chat", id="c") as session:
        assert session.append("user", "badge B-123456").content == "badge [redacted:badge]"


def test_mistake_in_the_rules_is_said_before_anything_is_written(log: SessionLog, folder: Path) -> None:
    (folder / "redaction.yaml").write_text("extra:\n  badge: '('\noff: [nonsense]\n")
    with pytest.raises(UserError, match=r"badge(.|\n)*nonsense|nonsense(.|\n)*badge"):
        log.session("chat", id="c")
    assert not list(log.folder.rglob("*.ndjson"))
    (folder / "redaction.yaml").unlink()
    with log.session("chat", id="c") as session:
        session.append("user", "now it works")
