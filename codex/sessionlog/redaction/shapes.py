"""Secrets that are known by their shape: what their vendors say they look like.

A shape is looked for only where one of its marks stands, so that a text without secrets costs a few microseconds. Every pattern
takes time linear in the text: it begins at a fixed mark, and what follows is one greedy run, or runs that cannot begin twice.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from string import ascii_letters, digits
from typing import Final, NamedTuple

_ESCAPES: Final = r"(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\[[0-9]m)|(?<=\[[0-9]{2}m)|(?<=\\u[0-9A-Fa-f]{4})"
"""Right behind an escape (`\\n`, `%3D`, a colour), whose end looks like a word."""

_LEFT: Final = rf"(?:(?<![A-Za-z0-9])|{_ESCAPES})"
"""Where a token may begin: not within a word."""

_MANY = r"[A-Za-z0-9_-]"
_HEX = r"[0-9a-f]"
_WORD = r"[A-Za-z0-9]"


class Span(NamedTuple):
    """A stretch of a text that is a secret of a kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Shape:
    """One way in which a kind of secret looks.

    Args:
        kind: what it is called in the log.
        marks: texts of which one stands in every such secret, or right before it.
        pattern: what it looks like; with a group named `secret`, only that is the secret.
        check: whether a match is one, where the pattern alone does not tell.
    """

    kind: str
    marks: tuple[str, ...]
    pattern: str
    check: Callable[[str], bool] | None = None

    def span(self, match: re.Match[str] | None) -> Span | None:
        """Where the secret of a match is; None when it is none."""
        if match is None:
            return None
        group = "secret" if "secret" in match.re.groupindex else 0
        if self.check is not None and not self.check(match[group]):
            return None
        return Span(*match.span(group), self.kind)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """`pattern`, compiled when it is first needed: most never are."""
    return re.compile(pattern)


def _has_digit(text: str) -> bool:
    """A placeholder such as `sk-your-own-key-goes-here` has none."""
    return any(char in "0123456789" for char in text) and len(set(text)) > 8


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if "-" in text or "_" in text else None)
    except binascii.Error:
        return b""


def _is_jwt(text: str) -> bool:
    """Whether the first part is a header of JSON Web Tokens (RFC 7519)."""
    try:
        header = json.loads(_decoded(text.split(".", 1)[0]))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and ("alg" in header or "enc" in header)


def _is_account(text: str) -> bool:
    """Whether it is `user:password` in base64 (RFC 7617), and no word that happens to be base64 of something."""
    try:
        account = _decoded(text).decode()
    except UnicodeDecodeError:
        return False
    return ":" in account[:-1] and account.isprintable()


def _is_bearer(text: str) -> bool:
    return _has_digit(text) or (len(text) >= 24 and text != text.lower())


_PLACEHOLDER = re.compile(r"[<{\[(].*|\$\{?\w+\}?|\$\(.*|%\(.*|%s|%\w+%|[xX.*_…-]+", re.ASCII)


def _is_url_password(text: str) -> bool:
    """Neither a placeholder nor the word itself, as examples have it."""
    if _PLACEHOLDER.fullmatch(text):
        return False
    return len(text) >= 3 and text.lower() not in {"password", "passwd", "pass", "pwd", "secret", "token", "your-password", "port", "pw"}


def _is_key_block(text: str) -> bool:
    """Whether a block that is there to its end, or cut off, holds a key and not three dots."""
    return re.search(r"[A-Za-z0-9+/=]{16}", text.partition("PRIVATE KEY")[2]) is not None


def _token(kind: str, marks: str, body: str, check: Callable[[str], bool] | None = None) -> Shape:
    """A shape that is one of the `marks` (separated by spaces) and then `body`."""
    names = tuple(marks.split())
    return Shape(kind, names, f"{_LEFT}(?:{'|'.join(map(re.escape, names))}){body}", check)


TOKENS: Final = (
    _token("anthropic-key", "sk-ant-", rf"{_MANY}{{24,}}", _has_digit),
    _token("openrouter-key", "sk-or-", rf"{_MANY}{{24,}}", _has_digit),
    _token("openai-key", "sk-proj- sk-svcacct- sk-admin- sk-None-", rf"{_MANY}{{20,}}", _has_digit),
    _token("openai-key", "sk-", rf"{_WORD}{{20,}}", _has_digit),
    _token("huggingface-token", "hf_ api_org_", rf"{_WORD}{{30,}}"),
    _token("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_WORD}{{30,}}(?:[._]{_MANY}{{16,}})*"),
    _token("github-token", "github_pat_", rf"{_WORD}{{16,}}_?{_WORD}*", _has_digit),
    _token("gitlab-token", "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas-", rf"{_MANY}{{18,}}(?:\.{_MANY}{{2,}})*"),
    _token("aws-access-key-id", "AKIA ASIA ABIA ACCA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    Shape("aws-secret-key", ("AKIA", "ASIA"), r"A[KS]IA[A-Z0-9]{16}[\s\"',:|]{1,12}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    _token("google-api-key", "AIza", rf"{_MANY}{{33,}}"),
    _token("google-oauth-token", "ya29.", rf"(?=[A-Za-z0-9_.-]{{20}}){_MANY}+(?:\.{_MANY}+)*"),
    _token("google-oauth-token", "1//0", rf"{_MANY}{{40,}}"),
    _token("google-client-secret", "GOCSPX-", rf"{_MANY}{{24,}}"),
    _token(
        "slack-token",
        "xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe- xoxc- xoxd- xoxe.xox",
        r"(?=[A-Za-z0-9%-]{16})(?:[A-Za-z0-9-]++|%(?!26))++",
        _has_digit,
    ),
    _token("slack-token", "xapp-", r"[0-9]-[A-Za-z0-9-]{16,}"),
    _token("stripe-key", "sk_live_ rk_live_ sk_test_ rk_test_ pk_live_", rf"{_WORD}{{16,}}"),
    _token("stripe-webhook-secret", "whsec_", r"[A-Za-z0-9+/]{24,}={0,2}"),
    _token("twilio-key", "SK AC", rf"{_HEX}{{32}}(?![A-Za-z0-9])"),
    _token("sendgrid-key", "SG.", rf"{_MANY}{{16,}}\.{_MANY}{{16,}}"),
    _token("mailgun-key", "key-", rf"{_HEX}{{32}}(?![A-Za-z0-9-])"),
    _token("npm-token", "npm_", rf"{_WORD}{{30,}}"),
    _token("pypi-token", "pypi-A", rf"{_MANY}{{40,}}"),
    _token("cloudflare-token", "cfk_ cfut_ cfat_", rf"{_WORD}{{40,}}"),
    _token("cloudflare-token", "v1.0-", rf"{_HEX}{{24}}-{_HEX}{{100,}}"),
    _token("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", rf"{_HEX}{{40,}}"),
    _token("databricks-token", "dapi", rf"{_HEX}{{32}}(?:-[0-9])?(?![A-Za-z0-9])"),
    _token("replicate-token", "r8_", rf"{_WORD}{{30,}}"),
    _token("groq-key", "gsk_", rf"{_WORD}{{40,}}"),
    _token("xai-key", "xai-", rf"{_WORD}{{60,}}"),
    _token("perplexity-key", "pplx-", rf"{_WORD}{{40,}}"),
    _token("nvidia-key", "nvapi-", rf"{_MANY}{{40,}}"),
    _token("together-key", "tgp_v1_", rf"{_MANY}{{32,}}"),
    _token("cerebras-key", "csk-", rf"{_WORD}{{40,}}"),
    _token("langsmith-key", "lsv2_pt_ lsv2_sk_", rf"{_HEX}{{32}}_{_HEX}{{8,}}"),
    _token("tavily-key", "tvly-", rf"{_MANY}{{24,}}", _has_digit),
    _token("wandb-key", "wandb_v1_", rf"{_MANY}{{40,}}"),
    _token("vault-token", "hvs. hvb. hvr.", rf"{_MANY}{{24,}}", _has_digit),
    _token("docker-token", "dckr_pat_ dckr_oat_", rf"{_MANY}{{24,}}"),
    _token("grafana-token", "glsa_", rf"{_WORD}{{32}}_{_HEX}{{8}}"),
    _token("grafana-token", "glc_", r"[A-Za-z0-9+/]{32,}={0,2}"),
    _token("newrelic-key", "NRAK-", r"[A-Z0-9]{24,}"),
    _token("linear-key", "lin_api_ lin_oauth_", rf"{_WORD}{{32,}}"),
    _token("notion-token", "ntn_", rf"{_WORD}{{40,}}"),
    _token("figma-token", "figd_", rf"{_MANY}{{32,}}"),
    _token("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
    _token("postman-key", "PMAK-", rf"{_HEX}{{24}}-{_HEX}{{34}}"),
    _token("sentry-token", "sntrys_ sntryu_", r"[A-Za-z0-9+/=_-]{40,}"),
    _token("supabase-token", "sbp_", rf"{_HEX}{{40}}"),
    _token("doppler-token", "dp.pt. dp.st. dp.ct. dp.sa.", r"[A-Za-z0-9._-]{40,}"),
    _token("atlassian-token", "ATATT3 ATBB ATCTT3", r"[A-Za-z0-9_=-]{28,}", _has_digit),
    _token("rubygems-token", "rubygems_", rf"{_HEX}{{48}}"),
    _token("age-key", "AGE-SECRET-KEY-1", r"[0-9A-Z]{40,}"),
)
"""Shapes that begin with their mark, in or at most 16 characters before a run of 16 letters, digits and `_+/%~-`."""

_URL_PART = r"[^\s/:@?#\"'<>\\]"
_BLOCK = r"PRIVATE KEY(?: BLOCK)?-----"
_BREAK = r"(?:\s|\\[nr]|[\"'+,>|#*])"

PLACES: Final = (
    Shape("jwt", ("eyJ",), rf"(?:(?<![A-Za-z0-9_-])|{_ESCAPES})eyJ{_MANY}{{8,}}\.{_MANY}{{4,}}\.{_MANY}{{8,}}(?:\.{_MANY}+)*", _is_jwt),
    Shape("azure-key", ("AccountKey=", "AccessKey="), r"(?:Account|Access)Key=(?P<secret>[A-Za-z0-9+/%]{32,}={0,2})"),
    Shape("azure-signature", ("sig=",), r"\bsig=(?P<secret>[A-Za-z0-9%+/]{40,}={0,2})", _has_digit),
    Shape("azure-client-secret", ("Q~",), r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}"),
    Shape("telegram-token", (":AA",), rf"(?<![0-9])[0-9]{{8,10}}:AA{_MANY}{{32,}}"),
    Shape("terraform-token", (".atlasv1.",), rf"{_LEFT}{_WORD}{{14}}\.atlasv1\.{_MANY}{{50,}}"),
    Shape("slack-webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_-]{16,})"),
    Shape("discord-webhook", ("/webhooks/",), rf"discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{{5,25}}/(?P<secret>{_MANY}{{32,}})"),
)
"""Shapes with a mark in the middle, in or at most 16 characters before such a run."""

LOOSE: Final = (
    Shape(
        "private-key",
        ("-----begin ",),
        rf"-----BEGIN [A-Z0-9 ]{{0,32}}{_BLOCK}(?:(?:[A-Za-z0-9+/=\s\\:;,.\"'#>|*()]|-(?!----))*+-----END [A-Z0-9 ]{{0,32}}{_BLOCK}"
        rf"|{_BREAK}*+[A-Za-z0-9+/=]{{16,}}+(?:{_BREAK}++[A-Za-z0-9+/=]{{16,}}+)*+)",  # the end is cut off
        _is_key_block,
    ),
    Shape(
        "wandb-key",
        ("wandb",),
        r"(?i:wandb)[^\n]{0,48}?(?i:key|login|password)[^\n0-9A-Za-z]{1,8}(?:(?:user )?password )?"
        rf"(?P<secret>{_HEX}{{40}})(?![A-Za-z0-9])",
    ),
    Shape(
        "url-password",
        ("://",),
        rf"://{_URL_PART}{{0,256}}:(?P<secret>{_URL_PART}{{1,512}})@(?!sha256:|sha512:)[A-Za-z0-9\[_.$%{{-]",
        _is_url_password,
    ),
    Shape("bearer-token", ("bearer ",), r"\b(?i:bearer) {1,4}(?P<secret>[A-Za-z0-9_.~+/-]{16,}={0,2})", _is_bearer),
    Shape("basic-auth", ("basic ",), r"\b(?i:basic) {1,4}(?P<secret>[A-Za-z0-9+/_-]{8,}={0,2})", _is_account),
    Shape(
        "basic-auth",
        ("curl ",),
        r"(?i:curl) (?:(?!curl )[^\n]){0,256}?(?<=\s)(?:-u|--user)[ =]{0,2}[\"']?[^\s:\"'\\$]{1,64}:(?P<secret>[^\s\"'\\$]{3,256})",
        _is_url_password,
    ),
)
"""Shapes whose marks may stand anywhere, in capitals or not; here they are in lower case."""


def _any_of(marks: Iterable[str]) -> str:
    """A pattern for any of the marks, by first characters, which is several times faster than one flat list."""
    branches = groupby(sorted(marks, key=lambda mark: (mark[0], -len(mark))), key=lambda mark: mark[0])
    return "|".join(f"{re.escape(first)}(?:{'|'.join(re.escape(mark[1:]) for mark in group)})" for first, group in branches)


def _by_mark(shapes: Sequence[Shape]) -> dict[str, tuple[Shape, ...]]:
    return {mark: tuple(shape for shape in shapes if mark in shape.marks) for shape in shapes for mark in shape.marks}


_TOKENS: Final = _by_mark(TOKENS)
_PLACES: Final = _by_mark(PLACES)
_LOOSE: Final = tuple((mark, shape) for shape in LOOSE for mark in shape.marks)

_CLASSES: Final = bytes(ord("a") if chr(byte) in f"{ascii_letters}{digits}_+/%~-" else ord(" ") for byte in range(256))
_RUN: Final = b"a" * 16
_REACH: Final = 16
_HASH: Final = re.compile(r"[0-9a-f-]*")

KINDS: Final = tuple(dict.fromkeys(shape.kind for shape in (*TOKENS, *PLACES, *LOOSE)))


def known_spans(text: str, lower: str) -> list[Span]:
    """The secrets of known shapes in `text`, which is `lower` in lower case; some may overlap, the more telling one first."""
    found: list[Span | None] = []
    classes = text.encode("ascii", "replace").translate(_CLASSES)
    at = classes.find(_RUN)
    if at >= 0:
        found = _tokens(text, classes, at)
    loose = [shape for mark, shape in _LOOSE if mark in lower]
    if loose:
        found += _places(text, loose)
    return [span for span in found if span is not None] if found else []


def _tokens(text: str, classes: bytes, at: int) -> list[Span | None]:
    """What the marks in and right before each run point at, from the run at `at` on."""
    found: list[Span | None] = []
    places: list[Shape] = []
    searched: dict[Shape, int] = {}
    for mark, start in _marks_around(text, classes, at):
        places += _PLACES.get(mark, ())
        for shape in _TOKENS.get(mark, ()):
            match = compiled(shape.pattern).match(text, start) if start >= searched.get(shape, 0) else None
            if match is not None:
                searched[shape] = match.end()  # or a run of marks would be searched from each of them to its end
                found.append(shape.span(match))
    return [*found, *_places(text, places)] if places else found


def _marks_around(text: str, classes: bytes, at: int) -> Iterator[tuple[str, int]]:
    """The marks in and right before each run, from the run at `at` on, and where they are."""
    marks = _marks()
    while at >= 0:
        end = classes.find(b" ", at)
        end = len(text) if end < 0 else end
        is_hash = _HASH.fullmatch(text, at, end)  # most runs are, and no mark is in one
        for mark in marks.finditer(text, max(0, at - _REACH), min(end, at + 4) if is_hash else end):
            yield mark[0], mark.start()
        at = classes.find(_RUN, end)


def _places(text: str, shapes: Sequence[Shape]) -> list[Span | None]:
    return [shape.span(match) for shape in dict.fromkeys(shapes) for match in compiled(shape.pattern).finditer(text)]


@cache
def _marks() -> re.Pattern[str]:
    return re.compile(_any_of((*_TOKENS, *_PLACES)))
