"""Made-up secrets in the formats that their vendors document, planted in lines as people, programs and files write them.

It shares no code with `codex.sessionlog.redaction`: a format stands here as its vendor says it, and is drawn from a seed.
No real secret is here, and no whole made-up one either, which a scanner of this repository would take for real.
"""

from __future__ import annotations

import base64
import json
import random
import string
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
URL_SAFE = ALNUM + "-_"
BASE32 = string.ascii_uppercase + "234567"
SYMBOLS = ALNUM + "!@#$%^&*-_=+?.:~"


@dataclass(frozen=True)
class Plant:
    """A line with a secret in it: `before + secret + after`; `secret` as it stands there, escapes and all."""

    kind: str
    secret: str
    before: str
    after: str

    @property
    def line(self) -> str:
        return self.before + self.secret + self.after


def draw(chance: random.Random, alphabet: str, size: int) -> str:
    return "".join(chance.choices(alphabet, k=size))


def _prefixed(prefix: str, alphabet: str, size: int, suffix: str = "") -> Callable[[random.Random], str]:
    return lambda chance: prefix + draw(chance, alphabet, size) + suffix


def _parts(*parts: str | tuple[str, int]) -> Callable[[random.Random], str]:
    """Fixed text and drawn text in turn."""
    return lambda chance: "".join(part if isinstance(part, str) else draw(chance, *part) for part in parts)


def _base64(chance: random.Random, size: int) -> str:
    return base64.b64encode(chance.randbytes(size)).decode()


def _jwt(chance: random.Random) -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")

    header = part({"alg": chance.choice(("HS256", "RS256", "ES256")), "typ": "JWT"})
    payload = part({"sub": str(chance.randrange(10**9)), "iat": chance.randrange(10**9)})
    return f"{header}.{payload}.{draw(chance, URL_SAFE, chance.choice((43, 86, 342)))}"


def _pem(chance: random.Random) -> str:
    label = chance.choice(("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"))
    text = _base64(chance, chance.choice((138, 609, 1193)))
    rows = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *rows, f"-----END {label}-----"])


FREE: dict[str, Callable[[random.Random], str]] = {
    "openai legacy": _parts("sk-", (ALNUM, 20), "T3BlbkFJ", (ALNUM, 20)),
    "openai project": _parts("sk-proj-", (URL_SAFE, 74), "T3BlbkFJ", (URL_SAFE, 74)),
    "openai service account": _parts("sk-svcacct-", (URL_SAFE, 58), "T3BlbkFJ", (URL_SAFE, 58)),
    "anthropic": _prefixed("sk-ant-api03-", URL_SAFE, 93, "AA"),
    "openrouter": _prefixed("sk-or-v1-", HEX, 64),
    "hugging face": _prefixed("hf_", string.ascii_letters, 34),
    "github classic": lambda chance: f"gh{chance.choice('pousr')}_" + draw(chance, ALNUM, 36),
    "github fine-grained": _parts("github_pat_", (ALNUM, 22), "_", (ALNUM, 59)),
    "gitlab": _prefixed("glpat-", URL_SAFE, 20),
    "aws access key id": lambda chance: chance.choice(("AKIA", "ASIA")) + draw(chance, BASE32, 16),
    "google api": _prefixed("AIza", URL_SAFE, 35),
    "google oauth": _prefixed("ya29.a0", URL_SAFE, 120),
    "google client secret": _prefixed("GOCSPX-", URL_SAFE, 28),
    "slack bot": _parts("xoxb-", (string.digits, 12), "-", (string.digits, 13), "-", (ALNUM, 24)),
    "slack user": _parts("xoxp-", (string.digits, 12), "-", (string.digits, 12), "-", (string.digits, 13), "-", (HEX, 32)),
    "slack app": _parts("xapp-1-A", (UPPER, 10), "-", (string.digits, 13), "-", (HEX, 64)),
    "stripe": lambda chance: chance.choice(("sk_live_", "rk_live_", "sk_test_")) + draw(chance, ALNUM, chance.choice((24, 99))),
    "stripe webhook": _prefixed("whsec_", ALNUM, 32),
    "twilio": lambda chance: chance.choice(("SK", "AC")) + draw(chance, HEX, 32),
    "sendgrid": _parts("SG.", (URL_SAFE, 22), ".", (URL_SAFE, 43)),
    "npm": _prefixed("npm_", ALNUM, 36),
    "pypi": _prefixed("pypi-AgEIcHlwaS5vcmc", URL_SAFE, 150),
    "jwt": _jwt,
    "telegram": _parts((string.digits, 10), ":AA", (URL_SAFE, 33)),
    "cloudflare": lambda chance: chance.choice(("cfk_", "cfut_", "cfat_")) + draw(chance, ALNUM, 40) + draw(chance, HEX, 8),
    "cloudflare origin": _parts("v1.0-", (HEX, 24), "-", (HEX, 146)),
    "digitalocean": lambda chance: chance.choice(("dop_v1_", "doo_v1_", "dor_v1_")) + draw(chance, HEX, 64),
    "databricks": _prefixed("dapi", HEX, 32),
    "replicate": _prefixed("r8_", ALNUM, 37),
    "groq": _prefixed("gsk_", ALNUM, 52),
    "nvidia": _prefixed("nvapi-", URL_SAFE, 64),
    "vault": _prefixed("hvs.CAESI", URL_SAFE, 90),
    "docker hub": _prefixed("dckr_pat_", URL_SAFE, 27),
    "grafana": _parts("glsa_", (ALNUM, 32), "_", (HEX, 8)),
    "new relic": _prefixed("NRAK-", UPPER, 27),
    "linear": _prefixed("lin_api_", ALNUM, 40),
    "notion": _parts("ntn_", (string.digits, 11), (ALNUM, 35)),
    "shopify": _prefixed("shpat_", HEX, 32),
    "postman": _parts("PMAK-", (HEX, 24), "-", (HEX, 34)),
    "mailgun": _prefixed("key-", HEX, 32),
    "terraform cloud": _parts((ALNUM, 14), ".atlasv1.", (URL_SAFE, 67)),
    "age": _prefixed("AGE-SECRET-KEY-1", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
}
"""Formats that are known by themselves, wherever they stand."""

AROUND: tuple[tuple[str, str], ...] = (
    ("", ""),
    ('{"value": "', '", "n": 3}'),
    (r'{"out": "{\"value\": \"', r'\"}"}'),
    (r'{"log": "line one\n', r'\nline three"}'),
    ("export VALUE=", ""),
    ("curl -s -d 'value=", "' https://api.example.com/v1/things"),
    ("  value: ", ""),
    ('value = "', '"  # from the dashboard'),
    ("client = Client('", "', timeout=30)"),
    ("X-Custom-Header: ", ""),
    ("https://api.example.com/v1/things?value=", "&page=2"),
    ("I have put ", " into the settings and it still fails."),
    ("It was ", ". Can you help?"),
    ("Use `", "` for now"),
    ("(see ", ")"),
    ("a,b,", ",2026-11-24"),
    ("\x1b[32m", "\x1b[0m"),
    ("\t", "\r\n"),
    ("GET /login?next=%2Fhome%3Fvalue%3D", "%26page%3D2"),
)

PASSWORD_URLS = ("postgresql", "mysql", "redis", "amqp", "mongodb+srv", "https")


def _in_place(chance: random.Random) -> list[Plant]:
    """One of each format that is known by what stands before it."""
    slack = "T" + draw(chance, UPPER, 10) + "/B" + draw(chance, UPPER, 10) + "/" + draw(chance, ALNUM, 24)
    discord = draw(chance, URL_SAFE, 68)
    account = base64.b64encode(f"{draw(chance, LOWER, 6)}:{draw(chance, SYMBOLS, 14)}".encode()).decode()
    url_password = urllib.parse.quote(draw(chance, SYMBOLS, chance.randint(10, 24)), safe="")
    scheme, user = chance.choice(PASSWORD_URLS), draw(chance, string.ascii_lowercase, 7)
    bearer = draw(chance, URL_SAFE, chance.choice((32, 43, 64)))
    wandb, cloud = draw(chance, HEX, 40), draw(chance, URL_SAFE, 40)
    pem = _pem(chance)
    aws_name = chance.choice(("aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=", '"SecretAccessKey": "', "secretAccessKey: '"))
    wandb_name = chance.choice(("WANDB_API_KEY=", "wandb login ", 'wandb.login(key="', "machine api.wandb.ai login user password "))
    return [
        Plant("aws secret access key", _base64(chance, 30), aws_name, chance.choice(("", "\n")) if aws_name[-1] in "= " else aws_name[-1]),
        Plant("slack webhook", slack, "curl -X POST https://hooks.slack.com/services/", " -d '{}'"),
        Plant("discord webhook", discord, f'url = "https://discord.com/api/webhooks/{chance.randrange(10**17, 10**18)}/', '"'),
        Plant("private key", pem, chance.choice(("", "$ cat key.pem\n")), "\nafter"),
        Plant("private key", json.dumps(pem)[1:-1], '{"private_key": "', '", "client_email": "a@b.example.com"}'),
        Plant("url password", url_password, f'DSN = "{scheme}://{user}:', '@db.example.com:5432/main"'),
        Plant("url password", url_password[::-1].replace("%", ""), f"cloning {scheme}://{user}:", "@git.example.com/a/b.git now"),
        Plant("bearer", bearer, 'curl -H "Authorization: Bearer ', '" https://api.example.com'),
        Plant("bearer", bearer[::-1], '{"headers": {"Authorization": "Bearer ', '"}}'),
        Plant("basic", account, "authorization: Basic ", "\r\n"),
        Plant("azure storage", _base64(chance, 64), "DefaultEndpointsProtocol=https;AccountName=logs;AccountKey=", ";EndpointSuffix=x"),
        Plant("wandb", wandb, wandb_name, '")' if wandb_name.endswith('"') else ""),
        Plant("cloudflare by name", cloud, chance.choice(("CLOUDFLARE_API_TOKEN=", "CF_API_TOKEN: ", 'cloudflare_api_token = "')), ""),
    ]


def known(count: int, seed: int) -> list[Plant]:
    """`count` secrets of known formats, every format about as often, each in a context drawn by chance."""
    chance = random.Random(f"known {seed}")
    plants: list[Plant] = []
    while len(plants) < count:
        for kind, make in FREE.items():
            before, after = chance.choice(AROUND)
            plants.append(Plant(kind, make(chance), before, after))
        plants += _in_place(chance)
    return chance.sample(plants, count)


SHAPELESS: tuple[Callable[[random.Random], str], ...] = (
    lambda chance: base64.urlsafe_b64encode(chance.randbytes(chance.choice((16, 24, 32, 48)))).decode().rstrip("="),
    lambda chance: _base64(chance, chance.choice((16, 24, 32, 48))),
    lambda chance: draw(chance, HEX, chance.choice((24, 32, 48, 64))),
    lambda chance: draw(chance, ALNUM, chance.randint(16, 40)),
    lambda chance: draw(chance, ALNUM, chance.randint(10, 16)),
    lambda chance: draw(chance, SYMBOLS, chance.randint(12, 24)),
    lambda chance: draw(chance, LOWER, chance.randint(20, 40)),
    lambda chance: draw(chance, BASE32, chance.choice((16, 26, 32))),
)

SNAKE = (
    "password", "db_password", "passwd", "passphrase", "api_key", "openai_key", "secret", "client_secret", "secret_key", "jwt_secret",
    "token", "auth_token", "access_token", "refresh_token", "bot_token", "encryption_key", "signing_key", "webhook_secret",
    "private_token", "smtp_pass", "redis_pwd", "session_secret", "deploy_token", "admin_password", "apikey",
)  # fmt: skip


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _in_shell(before: str, value: str, after: str) -> tuple[str, str, str]:
    """In quotes where a shell needs them."""
    quote = "" if value.isalnum() else "'"
    return before + quote, value, quote + after


NAMED: tuple[Callable[[str, str], tuple[str, str, str]], ...] = (
    lambda name, value: (f'{name} = "', value, '"'),
    lambda name, value: (f"connect(host='db', {name}='", value, "', retries=3)"),
    lambda name, value: (f'{{"id": 7, "{_camel(name)}": "', value, '", "on": true}'),
    lambda name, value: (f'{{"{name}":"', value, '"}'),
    lambda name, value: (rf'{{"out": "{{\"{name}\": \"', value, r'\", \"a\": 1}"}'),
    lambda name, value: (f"  {name}: ", value, ""),
    lambda name, value: (f"{name.replace('_', '-')}: '", value, "'"),
    lambda name, value: (f"{name.upper()}=", value, ""),
    lambda name, value: _in_shell(f"export MY_{name.upper()}=", value, " && ./run.sh"),
    lambda name, value: _in_shell(f"./deploy --region eu --{name.replace('_', '-')} ", value, " --wait"),
    lambda name, value: (f"./deploy --{name.replace('_', '-')}=", value, " --wait"),
    lambda name, value: (f"X-{name.replace('_', '-').title()}: ", value, "\r\n"),
    lambda name, value: (f"GET /v1/me?{name}=", urllib.parse.quote(value, safe=""), "&page=2 HTTP/1.1"),
    lambda name, value: (f"the {name.replace('_', ' ')} is ", value, ", please keep it"),
    lambda name, value: (f"{name.replace('_', ' ').capitalize()}: ", value, ""),
    lambda name, value: _in_shell(f"docker run -e {name.upper()}=", value, " image:latest"),
    lambda name, value: (f"os.environ['{name.upper()}'] = '", value, "'"),
    lambda name, value: (f"[section]\n{name}    = ", value, "\nnext = 1"),
)


def named(count: int, seed: int) -> list[Plant]:
    """`count` secrets without a shape of their own, each after a name that says what it is."""
    chance = random.Random(f"named {seed}")
    plants: list[Plant] = []
    for number in range(count):
        place = NAMED[number % len(NAMED)]
        before, secret, after = place(chance.choice(SNAKE), chance.choice(SHAPELESS)(chance))
        plants.append(Plant("named", secret, before, after))
    return plants
