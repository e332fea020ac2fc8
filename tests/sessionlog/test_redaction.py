"""What is secret does not reach the disk, and what is not stays as it is."""

from __future__ import annotations

import enum
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex.core.errors import UserError
from codex.sessionlog.redaction import KINDS, Redactor
from codex.sessionlog.redaction.shapes import LOOSE, PLACES, TOKENS
from tests.benchmarks.planted_secrets import AROUND, FREE, Plant, draw, known, named
from tests.benchmarks.redaction import HELD_OUT, caught, own_figures, own_lines, plant_figures, spared, stdlib_files, touched_lines

KIND_OF = {
    "openai legacy": "openai-key",
    "openai project": "openai-key",
    "openai service account": "openai-key",
    "anthropic": "anthropic-key",
    "openrouter": "openrouter-key",
    "hugging face": "huggingface-token",
    "github classic": "github-token",
    "github fine-grained": "github-token",
    "gitlab": "gitlab-token",
    "aws access key id": "aws-access-key-id",
    "google api": "google-api-key",
    "google oauth": "google-oauth-token",
    "google client secret": "google-client-secret",
    "slack bot": "slack-token",
    "slack user": "slack-token",
    "slack app": "slack-token",
    "stripe": "stripe-key",
    "stripe webhook": "stripe-webhook-secret",
    "twilio": "twilio-key",
    "sendgrid": "sendgrid-key",
    "npm": "npm-token",
    "pypi": "pypi-token",
    "jwt": "jwt",
    "telegram": "telegram-token",
    "cloudflare": "cloudflare-token",
    "cloudflare origin": "cloudflare-token",
    "digitalocean": "digitalocean-token",
    "databricks": "databricks-token",
    "replicate": "replicate-token",
    "groq": "groq-key",
    "nvidia": "nvidia-key",
    "vault": "vault-token",
    "docker hub": "docker-token",
    "grafana": "grafana-token",
    "new relic": "newrelic-key",
    "linear": "linear-key",
    "notion": "notion-token",
    "shopify": "shopify-token",
    "postman": "postman-key",
    "mailgun": "mailgun-key",
    "terraform cloud": "terraform-token",
    "age": "age-key",
    "aws secret access key": "aws-secret-key",
    "slack webhook": "slack-webhook",
    "discord webhook": "discord-webhook",
    "private key": "private-key",
    "url password": "url-password",
    "bearer": "bearer-token",
    "basic": "basic-auth",
    "azure storage": "azure-key",
    "wandb": "wandb-key",
    "cloudflare by name": "token",
}

REDACTOR = Redactor()
CHANCE = random.Random(7)
DRAWN = draw(CHANCE, "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", 28) + "7Q"
HEX64 = draw(CHANCE, "0123456789abcdef", 62) + "0f"
UUID = "9b2f6c1e-4d7a-4e0b-8c53-1f0e2d3c4b5a"


def test_every_planted_kind_has_a_name_here() -> None:
    planted = {plant.kind for plant in known(400, 3)}
    assert planted == set(KIND_OF) and set(FREE) < planted
    assert set(KIND_OF.values()) <= set(KINDS)
    assert len(KINDS) == len(set(KINDS)) >= 60


@pytest.mark.parametrize("kind", FREE)
def test_known_shape_in_any_surrounding_becomes_its_kind(kind: str) -> None:
    chance = random.Random(kind)
    for before, after in AROUND:
        plant = Plant(kind, FREE[kind](chance), before, after)
        redacted, counts = REDACTOR.redact(plant.line)
        assert redacted == f"{before}[redacted:{KIND_OF[kind]}]{after}", plant.line
        assert counts == {KIND_OF[kind]: 1}


def test_shapes_known_by_their_place_become_their_kind() -> None:
    plants = [plant for plant in known(600, 5) if plant.kind not in FREE]
    for plant in plants:
        redacted, counts = REDACTOR.redact(plant.line)
        assert redacted == f"{plant.before}[redacted:{KIND_OF[plant.kind]}]{plant.after}", plant
        assert counts == {KIND_OF[plant.kind]: 1}
    assert len({plant.kind for plant in plants}) == len(KIND_OF) - len(FREE)


@pytest.mark.parametrize("seed", [1, HELD_OUT])
def test_planted_secrets_are_caught_to_the_bars(seed: int) -> None:
    figures = plant_figures(REDACTOR, 200, seed)
    assert figures["known_caught_share"] >= 0.99 and figures["known_kinds"] >= 20
    assert figures["named_caught_share"] >= 0.9
    assert figures["around_kept_share"] >= 0.99


def test_counting_of_caught_secrets_sees_what_is_left() -> None:
    plant = Plant("x", "abcdefghijklmnop", "a ", " z")
    assert caught(plant, "a [redacted:x] z") and spared(plant, "a [redacted:x] z")
    assert not caught(plant, plant.line) and not caught(plant, "a [redacted:x]klmnop z")
    assert not spared(plant, "[redacted:x] z") and not spared(plant, "a [redacted:x]")


def test_source_of_the_standard_library_is_left_alone() -> None:
    lines = touched = 0
    for path in list(stdlib_files())[::10]:
        text = path.read_bytes().decode("utf-8", "replace")
        lines += text.count("\n")
        touched += touched_lines(text, REDACTOR.redact(text)[0])
    assert lines > 50_000 and touched <= lines * 0.001


def test_own_logs_are_left_alone() -> None:
    assert own_figures(REDACTOR, own_lines(600, 9))["own_lines_touched"] == 0


@pytest.mark.parametrize(
    "text",
    [
        "token = tokenizer.eos_token",
        "password=getpass()",
        "password = getpass.getpass('Password: ')",
        "def login(user: str, password: str, key: str | None = None) -> None:",
        "secret = os.environ['CLIENT_SECRET_2']",
        "SECRET_KEY = config('SECRET_KEY', default=None)",
        "token_ids = tokenizer.encode(text); token_count: 12345678",
        "api_key=<your key> or API_KEY=${API_KEY_2} or password=$DB_PASSWORD1",
        "api_key: your-api-key-goes-here-123",
        "password: ********** and token=xxxxxxxxxxxxxxxxxxxx",
        f"sha256: {HEX64}  {HEX64[:40]}  {UUID}",
        f"token: {UUID} token={HEX64} key = '{HEX64[:40]}'",
        f"cache_key = '{DRAWN}' primary_key={DRAWN} next_page_token: '{DRAWN}'",
        f"password_hash = '{DRAWN}' token_name={DRAWN} keyboard: {DRAWN}",
        "password = '/etc/app/credentials/db-password.txt' key='~/.ssh/id_ed25519'",
        "model: Qwen/Qwen2.5-0.5B-Instruct key=Qwen/Qwen2.5-0.5B-Instruct",
        "token = https://example.com/auth/v2/login?next=1",
        "the key is to begin small; the secret is patience, the token is a word",
        '{"token": "これはトークンです、長い文章", "eos_token": "<|im_end|>"}',
        "sk-proj-your-own-project-key-goes-here sk-ant-your-own-anthropic-key-here Authorization: Bearer goes-here-without-fail",
        "sk-learn-contrib-nice-package-name hf_transfer_is_a_fast_downloader ghp_short npm_config_registry",
        'read("Password:");fQ7x9=Kd2aB7q and token=n1Q!==b2Xk&&c3zW?.d4',
        'password = "パスワードは8文字以上で入力してください"',
        "curl -u $USER:$PASSWORD https://example.com and https://user:${PASSWORD}@example.com, http://user:<password>@host",
        "docker://alpine:3.19.1@sha256:" + HEX64,
        "Basic differences between the two, Basic YWJjZGVmZ2hpamts; a bearer of bad news; Basic authentication",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "It begins with -----BEGIN RSA PRIVATE KEY----- and ends with -----END RSA PRIVATE KEY-----.",
        "-----BEGIN CERTIFICATE-----\n" + "MIIB" * 16 + "\n-----END CERTIFICATE-----",
        "eyJub3QiOiJhIGhlYWRlciJ9.eyJub3QiOiJhIGhlYWRlciJ9.c2lnbmF0dXJlc2ln",
        "/etc/passwd: \"aB3$k9!xQ2zT\"",
        "İ" * 30 + " no secret",
        "\ud800 a lone surrogate",
        "",
    ],
)  # fmt: skip
def test_what_is_no_secret_comes_back_as_the_same_object(text: str) -> None:
    redacted, counts = REDACTOR.redact(text)
    assert redacted is text and counts == {}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ('password = "', '"', "password"),
        ("DB_PASSWORD=", "", "password"),
        ("  passphrase: ", "\n  next: 1", "password"),
        ("smtp_pass: '", "'", "password"),
        ("API_KEY: ", "", "key"),
        ('{"apiKey":"', '"}', "key"),
        ('{\\"clientSecret\\": \\"', '\\"}', "secret"),
        ("os.environ['JWT_SECRET'] = '", "'", "secret"),
        ("run --token ", " --wait", "token"),
        ("run --access-token=", "", "token"),
        ('["--token", "', '"]', "token"),
        ("X-Auth-Token: ", "\r\n", "token"),
        ("https://a.example.com/?access_token=", "&page=2", "token"),
        ("token%3D", "%26page", "token"),
        ("Server=a;Password=", ";User=b", "password"),
        ("my password is ", ", sorry", "password"),
        ("**Password:** ", "", "password"),
        ("<password>", "</password>", "password"),
        ("monkeypatch.setenv('API_TOKEN', '", "')", "token"),
        ("client.set_api_key('", "')", "key"),
        ("token: str = '", "'", "token"),
        ("Authorization: Token ", "", "credential"),
        ("machine example.com login me password ", "", "password"),
        ("ALTER USER me PASSWORD '", "'", "password"),
        ("secret => '", "'", "secret"),
        ("(token=", ")", "token"),
        ("İ" * 30 + " token: '", "'", "token"),
        ("DB_PASSWORD_PROD=", "", "password"),
        ("api_key_2: '", "'", "key"),
        ("aws_secret_access_key = ", "", "aws-secret-key"),
    ],
)
def test_drawn_text_after_a_key_like_name_is_redacted(before: str, after: str, kind: str) -> None:
    assert REDACTOR.redact(before + DRAWN + after) == (f"{before}[redacted:{kind}]{after}", {kind: 1})
    assert REDACTOR.redact(f"see {DRAWN}")[1] == {}


def test_hash_after_a_name_that_is_surely_a_secrets_is_redacted() -> None:
    assert REDACTOR.redact(f"SECRET_KEY={HEX64}\nGITHUB_TOKEN={HEX64[:40]}")[1] == {"key": 1, "token": 1}
    assert REDACTOR.redact("access_token: 5518273640918273645091a2")[1] == {"token": 1}


def test_password_that_a_person_made_up_is_redacted_only_where_it_is_a_literal() -> None:
    assert REDACTOR.redact('password="Summer2024!"')[1] == {"password": 1}
    assert REDACTOR.redact("password=summer_2024")[1] == {}


def test_long_value_is_redacted_to_its_end() -> None:
    value = draw(random.Random(1), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", 5000)
    assert REDACTOR.redact(f'{{"credentials": "{value}", "a": 1}}')[0] == '{"credentials": "[redacted:credential]", "a": 1}'
    assert REDACTOR.redact(f"API_TOKEN={value}\nnext")[0] == "API_TOKEN=[redacted:token]\nnext"


def test_private_key_that_is_cut_off_is_redacted_and_what_follows_is_kept() -> None:
    body = "\n".join(draw(CHANCE, "ABCDEFGHIJKLMNOPabcdefgh0123456789+/", 64) for _ in range(3))
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\nand so on"
    assert REDACTOR.redact(text) == ("[redacted:private-key]\nand so on", {"private-key": 1})


def test_overlapping_secrets_are_one_and_counted_once() -> None:
    token = FREE["github classic"](CHANCE)
    assert REDACTOR.redact(f"Authorization: Bearer {token}") == ("Authorization: Bearer [redacted:github-token]", {"github-token": 1})
    assert REDACTOR.redact(f"password={token}/{DRAWN}") == ("password=[redacted:password]", {"password": 1})
    assert REDACTOR.redact(f"{token} {token}\n{token}")[1] == {"github-token": 3}


def test_marker_is_left_alone_and_what_stands_beside_it_is_not() -> None:
    token = FREE["hugging face"](CHANCE)
    text = f"password=[redacted:password] https://a:[redacted:url-password]@b.c {token}[redacted:x]"
    redacted = "password=[redacted:password] https://a:[redacted:url-password]@b.c [redacted:huggingface-token][redacted:x]"
    assert REDACTOR.redact(text) == (redacted, {"huggingface-token": 1})


FRAGMENTS = [
    *(plant.secret for plant in known(60, 11)),
    *(plant.line for plant in known(40, 12)),
    *(plant.line for plant in named(40, 13)),
    *(mark for shape in (*TOKENS, *PLACES, *LOOSE) for mark in shape.marks),
    *(
        "password=",
        "token: ",
        '"secret": "',
        "--api-key ",
        "[redacted:jwt]",
        "[redacted:",
        "]",
        '"',
        "'",
        "\\",
        "\\n",
        "%3D",
        "@",
        ":",
        "//",
    ),
    *(" ", "\n", "a", "Z9", "-", "_", "=", "İ", "é", "[32m", DRAWN, HEX64, UUID),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=12), max_size=12).map("".join)
VALUES = st.recursive(
    TEXTS | st.none() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["password", "api_key", "a"]) | TEXTS, inner, max_size=4),
    max_leaves=8,
)


@given(TEXTS)
def test_redacted_text_stays_as_it_is(text: str) -> None:
    redacted, counts = REDACTOR.redact(text)
    assert REDACTOR.redact(redacted) == (redacted, {})
    assert (redacted == text) == (counts == {})


@given(VALUES)
def test_redacted_value_stays_as_it_is(value: Any) -> None:
    redacted, counts = REDACTOR.redact_value(value)
    assert REDACTOR.redact_value(redacted) == (redacted, {})
    assert (redacted is value) == (counts == {})


def test_value_under_a_key_like_name_is_judged_by_it() -> None:
    value = {
        "headers": [["X-Api-Key", DRAWN], ["Accept", DRAWN]],
        "config": {"db_password": "Summer2024!", "note": "Summer2024!", "api_keys": [DRAWN], "token": UUID, "cache_key": DRAWN},
        "argv": ["run", "--token", DRAWN, DRAWN],
        "env": [{"name": "API_TOKEN", "value": DRAWN}, {"name": "COLOR", "value": DRAWN}],
        "n": 1,
    }
    redacted, counts = REDACTOR.redact_value(value)
    assert redacted == {
        "headers": [["X-Api-Key", "[redacted:key]"], ["Accept", DRAWN]],
        "config": {
            "db_password": "[redacted:password]", "note": "Summer2024!", "api_keys": ["[redacted:key]"], "token": UUID, "cache_key": DRAWN,
        },
        "argv": ["run", "--token", "[redacted:token]", DRAWN],
        "env": [{"name": "API_TOKEN", "value": "[redacted:token]"}, {"name": "COLOR", "value": DRAWN}],
        "n": 1,
    }  # fmt: skip
    assert counts == {"key": 2, "password": 1, "token": 2}
    assert value["argv"] == ["run", "--token", DRAWN, DRAWN]


@pytest.mark.parametrize(
    "value",
    [
        {"password": {"value": DRAWN}},
        {"api_keys": {"openai": DRAWN, "more": [{"mistral": DRAWN}]}},
        {"apiKey": [{"value": DRAWN}]},
        {"name": "API_KEY", "default": DRAWN},
        {"contraseña": DRAWN},
    ],
)
def test_name_is_handed_down_to_what_stands_below_it(value: Any) -> None:
    redacted, counts = REDACTOR.redact_value(value)
    assert DRAWN not in str(redacted) and sum(counts.values()) == str(value).count(DRAWN)


def test_number_under_the_name_of_a_password_is_redacted_and_a_count_is_not() -> None:
    assert REDACTOR.redact_value({"password": 12345678901}) == ({"password": "[redacted:password]"}, {"password": 1})
    assert REDACTOR.redact_value({"password": {"value": 12345678}})[1] == {"password": 1}
    counted = {
        "tokens": 12345678901,
        "user_tokens": 12345678901,
        "password": 1234567,
        "passwords": True,
        "secret": 1.5,
        "n": {"key": 10**9},
    }
    assert REDACTOR.redact_value(counted)[0] is counted


def test_name_of_a_whole_touches_no_plain_part() -> None:
    plain = {"auth": {"type": "service-account", "url": "https://host/login", "retries": 3}, "password": {"hash_scheme": "argon2id-v19"}}
    assert REDACTOR.redact_value(plain)[0] is plain


@pytest.mark.parametrize(
    "before", ["password:\n  ", "secret_key: |\n  ", "api_key: >-\r\n    ", "contraseña=", "пароль: ", "密码：", "mot de passe : "]
)
def test_secret_on_the_next_line_or_after_a_word_for_password_is_redacted(before: str) -> None:
    text, counts = REDACTOR.redact(f"a: 1\n{before}{DRAWN}\nb: 2")
    assert DRAWN not in text and text.startswith(f"a: 1\n{before}[redacted:") and text.endswith("]\nb: 2")
    assert sum(counts.values()) == 1


@pytest.mark.parametrize("text", [f"for token in tokens:\n    {DRAWN}", f"password:\n{DRAWN}", f"api_key:\n  {DRAWN} and more"])
def test_line_break_that_ends_a_sentence_or_begins_a_block_parts_name_and_value(text: str) -> None:
    assert REDACTOR.redact(text)[0] is text


def test_secret_in_a_key_is_redacted_and_no_value_is_lost() -> None:
    one, two = FREE["npm"](CHANCE), FREE["npm"](CHANCE)
    redacted, counts = REDACTOR.redact_value({one: 1, two: 2, "a": 3})
    assert sorted(redacted.values()) == [1, 2, 3] and counts == {"npm-token": 2}
    assert one not in str(redacted) and two not in str(redacted)


class Color(enum.Enum):
    RED = "red"


def test_values_that_are_not_of_json_are_searched_as_they_will_stand_there() -> None:
    token = FREE["npm"](CHANCE)
    redacted, counts = REDACTOR.redact_value({"a": {token}, "b": token.encode(), "c": Path("/x") / token, "d": (token,), "e": Color.RED})
    assert token not in str(redacted) and counts == {"npm-token": 4}
    thing = object()
    assert REDACTOR.redact_value({"a": thing})[0] == {"a": thing}


def test_value_that_nests_without_end_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(UserError, match="too deeply"):
        REDACTOR.redact_value(value)


@pytest.mark.parametrize(
    "unit",
    [
        "xoxb-", "sk-ant-", "eyJ", "_eyJhbGciOiJub25lIn0", "-----BEGIN PRIVATE KEY-----", "://a:", "curl -u a ", "wandb key ", "a",
        'key="', "token ", "key" + " " * 60, "password=[redacted:password]",
    ],
)  # fmt: skip
def test_a_megabyte_made_to_be_slow_takes_its_time_once(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit)))[:1_000_000]
    begun = time.process_time()
    REDACTOR.redact(text)
    assert time.process_time() - begun < 6  # a second on a slow machine; minutes when it were quadratic


@pytest.mark.parametrize("tail", ["", "Ab9_", " "])
def test_no_mark_repeated_takes_longer_than_its_length(tail: str) -> None:
    for mark in {mark for shape in (*TOKENS, *PLACES, *LOOSE) for mark in shape.marks}:
        text = (mark + tail) * (12_000 // len(mark + tail))
        begun = time.process_time()
        REDACTOR.redact(text)
        assert time.process_time() - begun < 0.3, mark


def test_no_mark_hides_in_a_run_of_hexadecimal_digits() -> None:
    """What stands of a mark in such a run must begin within four characters of it, or hold another character."""
    marks = [mark for shape in (*TOKENS, *PLACES) for mark in shape.marks]
    within = [re.split(r"[^A-Za-z0-9_+/%~-]", mark)[-1] for mark in marks]
    for mark, inside in zip(marks, within, strict=True):
        assert not re.fullmatch(r"[0-9a-f-]+", inside) or (inside != mark and len(inside) <= 4), mark


def test_threads_may_share_a_redactor() -> None:
    lines = [plant.line for plant in known(200, 21)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(REDACTOR.redact, lines * 3)) == [Redactor().redact(line) for line in lines] * 3
