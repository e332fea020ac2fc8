"""Secrets without a shape of their own, which stand after a name that says what they are.

`password = "…"`, `API_KEY: …`, `--token …`, `"clientSecret": "…"`. What follows the name must look drawn by chance: a hash, a
UUID, a path, a model's name, code and a placeholder do not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import add
from typing import Final, NamedTuple

from codex.sessionlog.redaction.shapes import Span

MIN_SIZE: Final = 8
"""Fewer characters are no secret that chance has drawn."""

KINDS: Final = ("password", "secret", "key", "token", "credential", "aws-secret-key")

_STEMS: Final = ("pass", "pwd", "secret", "token", "key", "auth", "credential")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORDS: Final = ("password", "passwd", "passphrase", "passwort", "pwd")
_FOREIGN: Final = ("contraseña", "contrasena", "mot de passe", "пароль", "密码", "密碼")
"""What a password is called in other languages; Passwort is among `_PASSWORDS`."""

_PLURALS: Final = ("passwords", "secrets", "credentials", "keys", "tokens")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENDINGS: Final = _set("prod production staging stage dev test live old new default value primary secondary base64 b64")
_SURE: Final = _set(
    "api access auth refresh bearer bot deploy secret private personal security user admin encryption signing signature master account "
    "service app application hmac jwt subscription server consumer crypto cipher webhook openai anthropic mistral cohere groq gemini "
    "google azure aws stripe wandb hf huggingface replicate deepseek openrouter github gitlab slack discord telegram npm pypi"
)
_OTHERS: Final = {
    "key": _set(
        "cache primary foreign sort public pub partition dict map group index row column hash idempotency dedup object s3 lookup join "
        "search routing registry config translation hot arrow first last unique composite natural session run event node parent state "
        "param mon don tur hoc joc whis"
    ),
    "token": _set(
        "eos bos pad unk sep cls mask special stop end begin start first last next prev previous page continuation sync image audio video "
        "new per each every any no one added fake cancel cancellation lock idempotency model think thinking tool"
    ),
}
"""Keys and tokens that are no secrets, by the word before."""


class Name(NamedTuple):
    """What a key-like name promises; `sure` when even a hash after it is a secret."""

    kind: str
    sure: bool


@lru_cache(maxsize=4096)
def named(name: str) -> Name | None:
    """What `name` says that its value is; None when it says nothing of a secret."""
    if name.strip().lower().endswith(_FOREIGN):
        return Name("password", True)
    words = [word.lower() for word in _WORDS.findall(name)]
    while len(words) > 1 and (words[-1] in _ENDINGS or words[-1].isdigit()):
        words.pop()
    if not words:
        return None
    if words[-3:] in (["secret", "access", "key"], ["aws", "secret", "key"]):
        return Name("aws-secret-key", True)
    last = words[-1].removesuffix("s") if words[-1].endswith(_PLURALS) else words[-1]
    if last.endswith(_PASSWORDS) or last == "pass":
        return Name("password", True)
    if last.endswith("secret"):
        return Name("secret", True)
    if last in ("authorization", "auth", "credential"):
        return Name("credential", False)
    kind = next((kind for kind in ("key", "token") if last.endswith(kind)), None)
    if kind is None:
        return None
    qualifier = last.removesuffix(kind) or (words[-2] if len(words) > 1 else "")
    if qualifier in _OTHERS[kind]:
        return None
    return Name(kind, qualifier in _SURE or (bool(qualifier) and name.strip().isupper()))


_COMMON: Final = _set(
    "ab ac ad ag ai al am an ap ar as at au ay ba be bl bu ca ce ch ck cl co cr ct cu da dd de di do du ea ec ed ef eg el em en ep er es "
    "et ev ex fa fe fi fl fo fr fu ge gi gr gs ha he hi ho ia ic id ie ig il im in io ip ir is it iv iz ke la ld le lf li ll lo ls lt lu "
    "ma me mi mo mp na nc nd ne nf ng ni no ns nt nu oc od ol om on oo op or os ot ou ow pa pe pi pl po pp pr pt pu py qu ra rc rd re rg "
    "ri rm rn ro rr rs rt ru ry sa sc se sh si sk so sp ss st su sy ta te th ti to tr ts tt tu ty ue ul um un up ur us ut va ve vi wa wi "
    "xp xt yp ze"
)
"""The pairs of letters that make up 88% of all pairs in names of Python packages; of letters drawn by chance they are 27%."""

_JUDGED: Final = 80
_JOINTS: Final = frozenset("_-./: ")


def surprise(value: str) -> float:
    """How many neighbours in `value`, of all of them, are side by side by chance rather than by a person's hand, from 0 to 1."""
    head = value[:_JUDGED]
    return sum(map(_surprise, map(add, head, head[1:]))) / max(1, len(head) - 1)


@lru_cache(maxsize=16384)
def _surprise(pair: str) -> float:
    one, two = pair
    if not pair.isascii():
        return 0.0  # words of another script have pairs of their own
    if one.isalpha() and two.isalpha():
        if one.islower() and two.isupper():
            return 0.5  # camelCase has some, chance has many
        return 0.0 if pair.lower() in _COMMON else 1.0
    if one.isdigit() and two.isdigit():
        return 0.3
    return 0.0 if one in _JOINTS or two in _JOINTS else 1.0


_NOTHING: Final = re.compile(
    r"\$\{?[A-Za-z_]\w*\}?$|[<{].*[>}]$|.*(?:\*{3}|\.{3}|x{4}|X{4}|…|://)|(?i:.*(?:your|example|placeholder|changeme))|sha(?:1|224|256|384|512)[:-]",
    re.ASCII | re.DOTALL,
)
"""Placeholders, addresses, and sums that say what they are."""

_HASH: Final = re.compile(r"(?:[0-9a-fA-F]{2}){16,64}|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)
_HEX: Final = re.compile(r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{16,}", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$@][\w$]*(?:(?:\.|->|::)[A-Za-z_]\w*)*", re.ASCII)
_WORDY: Final = re.compile(r"[a-z_.-]{,23}|[A-Z]{2,}(?:_[A-Z]{2,})+|[0-9.,:-]+|(?:\\u[0-9A-Fa-f]{4})+")
"""Words, names of constants, numbers and escapes; chance draws few of the first, and the second are too common."""

_CODE: Final = re.compile(r"[!=]=.|&&|\?[.?]|=>")
_DRAWN: Final = re.compile(r"[A-Za-z0-9+/=_.~:%!@#$^&*?,-]+")


def looks_drawn(value: str, name: Name, *, quoted: bool) -> bool:
    """Whether `value` after `name` is a secret: drawn by chance, or at least a password that a person took care to make up.

    Args:
        quoted: it is a literal; without quotes it may be code as well.
    """
    if len(value) < MIN_SIZE or _WORDY.fullmatch(value):
        return False
    if name.sure and _HEX.fullmatch(value):
        return True
    if not quoted and _CODE.search(value):
        return False
    made_up = name.sure and quoted and name.kind in ("password", "secret")
    if not made_up and (not _DRAWN.fullmatch(value) or (not name.sure and _HASH.fullmatch(value))):
        return False
    return surprise(value) >= _bar(value, name, quoted=quoted, made_up=made_up) and not _NOTHING.match(value)


def _bar(value: str, name: Name, *, quoted: bool, made_up: bool) -> float:
    """How much surprise it takes: less where nothing but a secret may stand, more where code may, and in a short value."""
    if made_up and _is_mixed(value):
        return 0.2
    bar = 0.35 + 2 / len(value)
    if not quoted and _IDENTIFIER.fullmatch(value):
        bar += 0.05 if any(char.isdigit() for char in value) else 0.15
    return bar if name.sure else bar + 0.03


def _is_mixed(value: str) -> bool:
    return any(char.isalpha() for char in value) and any(char in "0123456789!@#$%^&*?+~" for char in value)


_TAIL: Final = re.compile(
    r"[\w-]{0,48}+"  # the rest of the name
    r"(?P<closing>\\{0,3}[\"'`])?\]?[*]{0,2}[ \t]{0,40}+"
    r"(?P<operator>:=|=>|={1,3}|：|:[ \t]*(?:str|string|String|Optional\[str\]|str \| None)[ \t]*=|:|,|\||>|\(|%3[Dd]"
    r"|(?:is|was)(?=[ \t:])|(?=(?<=[ \t])[^\s=:]))"
    r"[*]{0,2}(?:(?<=:)(?:[ \t]{0,8}[|>][0-9+-]{0,2})?[ \t]{0,8}(?P<break>\r?\n)(?=[ \t]))?"
    r"[ \t]{0,40}+(?:(?:Bearer|Basic|Token|token|ApiKey)[ \t]++)?"
    r"(?:[rbfuRBFU]{1,2}(?=[\"']))?(?P<quote>\\{0,3}[\"'`])?",
    re.ASCII,
)
_ENDS_LINE: Final = re.compile(r"[\"',]{0,2}[ \t]*+(?:\r?\n|\Z)")
_LONG: Final = 128
"""So many characters tell whether a value is a secret; a bound keeps the time linear."""

_BARE: Final = r"(?:[^\s\"'`<>\\;&,\x00-\x1f]|[&,](?![\w.-]{1,40}[=:])(?![ \t\"']))"


def _one(quote: str) -> str:
    """A pattern for one character of a value that stands in such quotes."""
    if not quote:
        return _BARE
    ends = rf"\s{quote[-1]}\\\x00-\x1f"
    return rf"[^{ends}]" if len(quote) > 1 else rf"(?:[^{ends}]|\\[^\s])"


_QUOTES: Final = ("", *("\\" * slashes + quote for slashes in range(4) for quote in "\"'`"))
_VALUES: Final = {quote: re.compile(f"{_one(quote)}{{{MIN_SIZE},{_LONG}}}+", re.ASCII) for quote in _QUOTES}
_REST: Final = {quote: re.compile(f"{_one(quote)}*+", re.ASCII) for quote in _QUOTES}
_PHRASE: Final = re.compile(r"[A-Za-z0-9_. -]*+")
_FLAG: Final = re.compile(r"(?:^|[\s\"',\[])--?[A-Za-z0-9_.-]*\Z|\blogin \S{1,64} \Z")


def named_spans(text: str, lower: str) -> list[Span]:
    """The secrets after a key-like name in `text`, which is `lower` in lower case; one may be found twice."""
    found: list[Span] = []
    for stem in (*_STEMS, *_FOREIGN):
        at = lower.find(stem)
        while at >= 0:
            span = _after(text, at, at if stem.isascii() else at + len(stem))
            if span is not None:
                found.append(span)
            at = lower.find(stem, max(at + len(stem), span.end if span else 0))
    return found


def _after(text: str, stem: int, rest: int) -> Span | None:
    """The secret after the name that has a stem at `stem`, and letters of the alphabet from `rest` on."""
    tail = _TAIL.match(text, rest)
    if tail is None:
        return None
    closing, operator, quote = tail.group("closing") or "", tail["operator"], tail["quote"] or ""
    value = _VALUES[quote].match(text, tail.end())
    if value is None:
        return None
    found = value[0] if quote else value[0].rstrip(",.)]}:")
    if operator[:1] == "%":
        found = found.partition("%26")[0]
    if _WORDY.fullmatch(found):
        return None
    before = text[max(0, stem - 40) : stem]
    name = named(_phrase(before) + text[stem : tail.start("closing" if closing else "operator")])
    if name is None or not _may_follow(before, name, tail, found):
        return None
    if tail["break"] and not (name.sure and _ENDS_LINE.match(text, value.end())):
        return None  # in code, a colon and a line break begin a block
    if not looks_drawn(found, name, quoted=bool(quote) and operator not in ("(", ",")):
        return None
    if len(value[0]) >= _LONG:
        return Span(value.start(), _end(text, value.end(), quote), name.kind)
    return Span(value.start(), value.start() + len(found), name.kind)


def _end(text: str, at: int, quote: str) -> int:
    """Where a long value ends."""
    rest = _REST[quote].match(text, at)
    return at if rest is None else rest.end()


def _phrase(before: str) -> str:
    """The words at the end of `before`."""
    match = _PHRASE.match(before[::-1])
    return match[0][::-1] if match else ""


def _may_follow(before: str, name: Name, tail: re.Match[str], value: str) -> bool:
    """Whether that name, operator and quote may stand together before a value."""
    closing, operator, quote = tail.group("closing") or "", tail["operator"], tail["quote"] or ""
    if before.endswith("/"):
        return False  # the name is a file's: /etc/passwd
    if operator == "":
        return bool(_FLAG.search(before) or (quote and name.kind == "password" and not tail[0].lower().startswith("pass ")))
    if operator == ",":
        return bool(closing and quote and (name.sure or _FLAG.search(before)))
    if operator == ":" and quote and not closing and value[0] in ")]},;:%":
        return False  # the quote ends a text that asks for it: "Password:"
    return operator != "(" or bool(name.sure and quote)
