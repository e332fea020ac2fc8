"""What a workspace may change about redaction, and how mistakes in it are said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import ConfigError
from codex.sessionlog.redaction import FILE, RedactionRules, Redactor, load_redactor
from tests.benchmarks.planted_secrets import ALNUM, FREE, draw

CHANCE = random.Random(17)
DRAWN = draw(CHANCE, ALNUM, 30)


def test_workspace_without_rules_has_the_built_in_ones(folder: Path) -> None:
    assert load_redactor(folder) == Redactor() == Redactor(RedactionRules())
    (folder / FILE).write_text("# nothing yet\n")
    assert load_redactor(folder) == Redactor()


@pytest.fixture
def ruled(folder: Path) -> Callable[[str], Redactor]:
    def load(text: str) -> Redactor:
        (folder / FILE).write_text(text)
        return load_redactor(folder)

    return load


def test_rules_turn_kinds_off_even_after_a_key_like_name(ruled: Callable[[str], Redactor]) -> None:
    npm, pypi = FREE["npm"](CHANCE), FREE["pypi"](CHANCE)
    text = f"api_key = '{npm}' {pypi}"
    assert ruled("off: [npm-token]").redact(text) == (f"api_key = '{npm}' [redacted:pypi-token]", {"pypi-token": 1})
    off = ruled("enabled: false")
    assert off.redact(text) == (text, {}) and off.redact_value({"password": npm}) == ({"password": npm}, {})


def test_rules_add_kinds_and_keep_matches(ruled: Callable[[str], Redactor]) -> None:
    npm = FREE["npm"](CHANCE)
    redactor = ruled("extra:\n  badge: 'B-\\d{4}'\n  desk: 'desk (?P<secret>\\d)'\nkeep: ['B-00', npm_]\n")
    assert redactor.redact("B-1234 B-0012 desk 7") == ("[redacted:badge] B-0012 desk [redacted:desk]", {"badge": 1, "desk": 1})
    assert redactor.redact_value({"B-1234": "B-5"}) == ({"[redacted:badge]": "B-5"}, {"badge": 1})
    assert redactor.redact(npm) == (npm, {})


def test_rule_that_matches_a_place_and_no_character_does_nothing(ruled: Callable[[str], Redactor]) -> None:
    assert ruled("extra: {place: '(?=x)'}").redact("an x here") == ("an x here", {})


def test_rules_of_ones_own_that_match_markers_end(ruled: Callable[[str], Redactor]) -> None:
    redactor = ruled("extra: {word: '[a-z]+', rest: '\\] .+'}")
    once = redactor.redact("one two [redacted:jwt] three")[0]
    assert redactor.redact(once) == (once, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("enabled: maybe", ["`enabled` is 'maybe'", "true or false"]),
        ("off: jwt", ["`off` is 'jwt'", "a list of kinds"]),
        ("off: [jvt]", ["`off` names 'jvt'", "Did you mean `jwt`?"]),
        ("of: [jwt]", ["`of` is no setting", "Did you mean `off`?"]),
        ("extra: [a]", ["`extra` is a list"]),
        ("extra: {Bad Name: a}", ["`extra` names 'Bad Name'"]),
        ("extra: {jwt: a}", ["`extra` names 'jwt'"]),
        ("extra: {mine: '(ab'}", ["`extra.mine` does not compile", "character 1 of 3"]),
        ("extra: {mine: 'a*'}", ["`extra.mine` matches nothing at all"]),
        ("extra: {mine: [a]}", ["`extra.mine` is a list"]),
        ("keep: a", ["`keep` is a str"]),
        ("keep: [a, '[']", ["`keep[1]` does not compile"]),
        ("just text", ["holds a str"]),
        ('keep: ["\\d"]', ["no YAML", ":1)", "single quotes"]),
        ("enabled: 1\noff: [x]\nextra: {mine: '('}\nkeep: ['(']", ["`enabled`", "'x'", "`extra.mine`", "`keep[0]`"]),
    ],
)
def test_mistakes_in_the_rules_are_all_said_at_once(ruled: Callable[[str], Redactor], text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        ruled(text)
    for part in said:
        assert part in str(error.value)
    assert FILE in str(error.value)


def test_rules_that_cannot_be_read_are_an_error(folder: Path) -> None:
    (folder / FILE).write_bytes(b"keep: ['\xff']")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_redactor(folder)
    (folder / FILE).unlink()
    (folder / FILE).mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_redactor(folder)


def test_rules_given_in_python_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="does not compile"):
        RedactionRules(extra={"mine": "("})


def test_secret_in_the_rules_is_in_no_message_and_no_repr(ruled: Callable[[str], Redactor]) -> None:
    for text in (f"keep: ['{DRAWN}(']", f"extra: {{mine: '{DRAWN}('}}", f"keep: [{DRAWN}", f"extra: {{mine: {{{DRAWN}: 1}}}}"):
        with pytest.raises(ConfigError) as error:
            ruled(text)
        assert DRAWN not in str(error.value) and DRAWN not in repr(error.value) and error.value.__cause__ is None
    assert DRAWN not in repr(ruled(f"keep: ['{DRAWN}']\nextra: {{mine: '{DRAWN}'}}"))
