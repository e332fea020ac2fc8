"""What an older version wrote stays readable for ever: one frozen log of each version is kept beside this test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codex.core.events import Event
from codex.sessionlog import SessionLog, schema
from codex.sessionlog.doctor import examine
from tests.sessionlog.logs import by_key

SAMPLES = Path(__file__).parent / "samples"


def test_each_version_has_a_sample() -> None:
    assert [migration.version for migration in schema.MIGRATIONS] == list(range(1, schema.VERSION + 1))
    assert sorted(path.name for path in SAMPLES.iterdir()) == [f"v{migration.version}" for migration in schema.MIGRATIONS]


@pytest.mark.parametrize("version", [f"v{migration.version}" for migration in schema.MIGRATIONS])
def test_sample_is_read_as_it_was_written_live_and_compacted(folder: Path, version: str) -> None:
    shutil.copytree(SAMPLES / version / "log", folder / "log")
    expected = by_key(Event.model_validate(event) for event in json.loads((SAMPLES / version / "expected.json").read_text()))
    assert len(expected) > 10
    log = SessionLog.open(folder)
    for _ in range(2):
        assert by_key(event for info in log.sessions() for event in log.events(info.id)) == expected == by_key(log.scan())
        rows = log.sql("select session, seq, redacted from events").fetchall()
        assert {(session, seq): redacted for session, seq, redacted in rows} == {
            key: json.loads(event)["redacted"] for key, event in expected.items()
        }
        assert log.search("numbers")
        assert all(finding.harm != "events lost" for finding in examine(log.folder).findings)
        log.compact()


def test_columns_of_a_frame_are_those_of_an_event() -> None:
    assert tuple(schema.FRAME_TYPES) == tuple(Event.model_fields)


def test_version_stands_in_the_name() -> None:
    assert schema.version_of("20261123T023448.962Z-32430-8818d845.ndjson") == 1
    assert schema.version_of(f"20261123T023448.962Z-32430-8818d845{schema.NAME_SUFFIX}") == schema.VERSION
    assert not schema.readable(schema.VERSION + 1) and not schema.readable(0)
