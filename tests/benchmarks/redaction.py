"""Plant secrets where people and programs put them, and count which are redacted, and what else is.

Run by `python -m tests.benchmarks.redaction --json`. The secrets, and the lines of a log without any, are drawn from a printed
seed by code that shares nothing with the redactor, which was tuned on seed 1 and never on the held-out seed. The source of the
running Python's standard library is redacted too: all that is touched there is counted as a mistake.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import sysconfig
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from codex.core.events import Event
from codex.sessionlog.frames import encode
from codex.sessionlog.redaction import Redactor
from tests.benchmarks.planted_secrets import ALNUM, HEX, Plant, draw, known, named

HELD_OUT = 20_261_124
WINDOW = 6
"""A secret is not caught when so many characters of it in a row are left."""


def caught(plant: Plant, redacted: str) -> bool:
    """Whether nothing of the secret is left that is long enough to tell it."""
    left = re.sub(r"\[redacted:[a-z0-9-]+\]", " ", redacted)
    for line in plant.secret.splitlines():
        if any(line[at : at + WINDOW] in left for at in range(len(line) - WINDOW + 1) if "PRIVATE KEY" not in line):
            return False
    return True


def spared(plant: Plant, redacted: str) -> bool:
    """Whether what stands around the secret is as it was."""
    return redacted.startswith(plant.before) and redacted.endswith(plant.after)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6)


def plant_figures(redactor: Redactor, count: int, seed: int, prefix: str = "") -> dict[str, float]:
    figures: dict[str, float] = {}
    around: list[bool] = []
    for name, plants in (("known", known(count, seed)), ("named", named(count, seed))):
        pairs = [(plant, redactor.redact(plant.line)[0]) for plant in plants]
        figures[f"{prefix}{name}_caught_share"] = _share(sum(caught(*pair) for pair in pairs), count)
        figures[f"{prefix}{name}_kinds"] = len({plant.kind for plant in plants})
        around += [spared(*pair) for pair in pairs]
    figures[f"{prefix}around_kept_share"] = _share(sum(around), len(around))
    return figures


def touched_lines(before: str, after: str) -> int:
    """How many lines of `before` are not in `after`."""
    return (Counter(before.split("\n")) - Counter(after.split("\n"))).total()


def stdlib_files() -> Iterator[Path]:
    top = Path(sysconfig.get_path("stdlib"))
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name not in ("site-packages", "dist-packages", "__pycache__"))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def stdlib_figures(redactor: Redactor) -> dict[str, float]:
    """Each file as one text, as an agent's tool would log it."""
    lines = touched = 0
    for path in stdlib_files():
        text = path.read_bytes().decode("utf-8", "replace")
        lines += text.count("\n")
        touched += touched_lines(text, redactor.redact(text)[0])
    return {"stdlib_lines": lines, "stdlib_lines_touched": touched, "stdlib_lines_touched_share": _share(touched, lines)}


def _sha(chance: random.Random) -> str:
    return hashlib.sha256(chance.randbytes(8)).hexdigest()


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


CHAT: tuple[Callable[[random.Random], str], ...] = (
    lambda c: "Why does the loss rise after the warm-up? I train with a learning rate of 2e-4 and a batch of 16, packed to 1,024 tokens.",
    lambda c: "```python\nfor token in tokenizer.encode(text):\n    token_ids.append(token)\npad_token = tokenizer.eos_token\n```",
    lambda c: f"model = AutoModel.from_pretrained('org/model-{c.randint(1, 70)}B-Instruct', revision='{draw(c, HEX, 40)}', token=token)",
    lambda c: (
        f"commit {draw(c, HEX, 40)}\nAuthor: A Person <person@example.com>\n\n    Tokens: count them once\n\n"
        f"index {draw(c, HEX, 7)}..{draw(c, HEX, 7)}"
    ),
    lambda c: f"sha256sum: {_sha(c)}  model.safetensors\n{_sha(c)}  tokenizer.json",
    lambda c: f"torch==2.13.0 \\\n    --hash=sha256:{_sha(c)} \\\n    --hash=sha256:{_sha(c)}",
    lambda c: f"Wrote /home/person/.codex-ml/runs/r-{c.randint(1, 9999):04d}/checkpoints/step-{c.randint(1, 900)}/adapter.safetensors",
    lambda c: "password = getpass.getpass('Password: ')\nclient = connect(user, password=password, token=os.environ['API_TOKEN'])",
    lambda c: "Set HF_TOKEN=<your token> or api_key: ${API_KEY}; the default password is changed on the first start.",
    lambda c: f"GET /api/runs/{_id(c)}/events?after={c.randint(1, 10**6)} 200 {c.random() * 90:.1f} ms request_id={_id(c)}",
    lambda c: f"docker pull ghcr.io/org/image@sha256:{_sha(c)}\nDigest: sha256:{_sha(c)}",
    lambda c: f"""<img src="data:image/png;base64,{"iVBORw0KGgo" + draw(c, ALNUM + "+/", 400)}=">""",
    lambda c: f'"integrity": "sha512-{draw(c, ALNUM + "+/", 86)}==", "resolved": "https://example.org/pkg/pkg-1.2.{c.randint(0, 99)}.tgz"',
    lambda c: "def login(self, user: str, password: str, *, token: str | None = None) -> None:\n    self.password = password",
    lambda c: "The secret to a stable run is the warm-up; the key is a small learning rate: start with 1e-5. Token: a piece of text.",
    lambda c: f"key = ('{_id(c)}', {c.randint(1, 99)})\ncache_key = '{_sha(c)}'\nprimary_key: user_id\nsort_key = itemgetter(1)",
    lambda c: f"https://huggingface.co/org/model-{c.randint(1, 9)}b/resolve/{draw(c, HEX, 40)}/model-00001-of-00004.safetensors",
    lambda c: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{draw(c, ALNUM + '+/', 43)} person@laptop",
)  # fmt: skip

ATTRIBUTES: tuple[Callable[[random.Random], dict[str, object]], ...] = (
    lambda c: {"split": "train", "attempt": 1, "learning_rate": c.random() / 1000, "grad_norm": c.random(), "tokens_per_s": c.random()},
    lambda c: {"sha256": _sha(c), "git_commit": draw(c, HEX, 40), "request_id": _id(c), "dirty": False},
    lambda c: {"eos_token": "<|im_end|>", "pad_token_id": 151643, "token": "ĠHello", "tokenizer": "org/tokenizer", "token_ids": [1, 2, 3]},
    lambda c: {"cache_key": _sha(c), "key": f"runs/r-{c.randint(1, 999):04d}/adapter", "etag": draw(c, HEX, 32), "page_token": _id(c)},
    lambda c: {"schema": {"properties": {"password": {"type": "string"}, "api_key": {"type": "string", "description": "Your key."}}}},
    lambda c: {},
)  # fmt: skip


def own_lines(count: int, seed: int) -> list[str]:
    """Frames as they stand in a segment, of training, chats and agents, with ids and sums of every sort and no secret."""
    chance = random.Random(f"own {seed}")
    lines: list[str] = []
    for seq in range(count):
        event = Event(
            session=f"r-{chance.randint(1, 9999):04d}-{chance.randint(10**9, 2 * 10**9)}",
            seq=seq,
            ts=1_795_401_288 + chance.random(),
            role=chance.choice(("user", "assistant", "tool", "info")),
            kind=chance.choice(("chat", "agent", "training")),
            content=chance.choice(CHAT)(chance),
            attributes=chance.choice(ATTRIBUTES)(chance),
            model=f"org/model-{chance.randint(1, 70)}B-Instruct-{draw(chance, HEX, 8)}",
            run_id=f"r-{chance.randint(1, 9999):04d}",
            step=seq,
            loss=chance.random(),
        )
        lines.append(encode(event).decode().rstrip("\n"))
    return lines


def own_figures(redactor: Redactor, lines: Sequence[str]) -> dict[str, float]:
    """Each line by its text, and by its content and attributes as `append` gives them."""
    touched = 0
    for line in lines:
        event = json.loads(line)
        parts = [redactor.redact(line)[1], redactor.redact(event["content"])[1], redactor.redact_value(event.get("attributes", {}))[1]]
        touched += any(parts)
    return {"own_lines": len(lines), "own_lines_touched": touched, "own_lines_touched_share": _share(touched, len(lines))}


def cpu_figures(redactor: Redactor, lines: Sequence[str], rounds: int = 7) -> dict[str, float]:
    """CPU for texts of 200 characters without a secret; the fastest of several rounds, in microseconds."""
    texts = [text[:200] for text in (json.loads(line)["content"] for line in lines[:2000]) if len(text) >= 100]
    texts = [(text * 2)[:200] for text in texts]
    attributes = [json.loads(line).get("attributes", {}) for line in lines[:2000]]

    def fastest(one: Callable[[Any], object], values: Sequence[Any]) -> float:
        spent: list[float] = []
        for _ in range(rounds):
            begun = time.process_time()
            for value in values:
                one(value)
            spent.append(time.process_time() - begun)
        return round(min(spent) / len(values) * 1e6, 2)

    plain = ("Nothing to see here: the run went well, and its loss fell from 4.9 to 3.2 in 80 steps. " * 3)[:200]
    return {
        "us_per_200_bytes": fastest(redactor.redact, texts),
        "us_per_200_bytes_of_prose": fastest(redactor.redact, [plain] * 2000),
        "us_per_attributes": fastest(redactor.redact_value, attributes),
        "us_per_attributes_of_a_step": fastest(redactor.redact_value, [ATTRIBUTES[0](random.Random(0))] * 2000),
    }


def run(plants: int, lines: int, seed: int) -> dict[str, float]:
    redactor = Redactor()
    own = own_lines(lines, seed)
    return {
        **plant_figures(redactor, plants, seed),
        **plant_figures(redactor, plants, HELD_OUT, "heldout_"),
        **stdlib_figures(redactor),
        **own_figures(redactor, own),
        **cpu_figures(redactor, own),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plants", type=int, default=200, help="secrets of known shapes, and as many after a name")
    parser.add_argument("--lines", type=int, default=5000, help="lines of the log without a secret")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    begun = time.perf_counter()
    figures = run(asked.plants, asked.lines, asked.seed)
    result = {
        "benchmark": "redaction",
        "figures": figures,
        "settings": {"plants": asked.plants, "lines": asked.lines, "seed": asked.seed, "held_out_seed": HELD_OUT},
        "seconds": round(time.perf_counter() - begun, 1),
    }
    print(json.dumps(result) if asked.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
