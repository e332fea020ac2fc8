"""Look at a model folder without loading it: is it whole, is it safe, what is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex.core.errors import ModelError

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("vocab.txt",), ("spiece.model",), ("tekken.json",))
"""Sets of files, each of which makes a tokenizer."""

OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.onnx")
NOT_WEIGHTS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt"}
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format
SIZE_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder holds.

    Args:
        source: the model as it was asked for.
        folder: where it lies.
        architecture: the class that transformers builds: "LlamaForCausalLM".
        model_type: the family's name in config.json: "llama".
        parameters: how many weights, from the files' headers.
        size_bytes: of the weights on disk.
        dtype: type of most weights as stored: "BF16".
        context: longest text the model is built for, tokens; None when its config does not say.
        vocabulary: rows of the embedding; None when its config does not say.
        quantized: how the stored weights are quantised ("bitsandbytes 4-bit"); None when they are not.
    """

    source: str
    folder: Path
    architecture: str
    model_type: str
    parameters: int
    size_bytes: int
    dtype: str
    context: int | None
    vocabulary: int | None
    quantized: str | None


@dataclass(frozen=True)
class Tensor:
    """One tensor as a safetensors header describes it."""

    dtype: str
    shape: tuple[int, ...]


_MEND = {"codex-tiny": "Install codex-ml again; or build the model: `codex-ml train recipe=pretrain-tiny`."}


class _Broken(Exception):
    """A file that is there but not whole; the text says how."""


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, without reading their data.

    Raises:
        ModelError: the file is cut short or is no safetensors file.
    """
    try:
        return _read_header(path)
    except _Broken as error:
        raise ModelError(
            f"{str(path)!r} cannot be read: {error}", "expected a whole safetensors file", "Copy or download it again."
        ) from None


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder by name, from the headers of the files that the model is loaded from.

    Raises:
        ModelError: one of them is not there or not whole.
    """
    missing: list[str] = []
    found = _read_weights(folder, missing)
    if missing:
        raise ModelError(
            f"the model folder {str(folder)!r} is incomplete: {'; '.join(missing)}",
            "expected all safetensors weights, each whole",
            "Copy or download the missing files again.",
        )
    return found


def _read_header(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        opening = file.read(1)
        if size > 8 and (length > LARGEST_HEADER or opening != b"{"):
            raise _Broken(f"{path.name} is no safetensors file")
        if size < 8 + length:
            raise _Broken(f"{path.name} is cut short in its header ({size:,} bytes)")
        try:
            raw: dict[str, Any] = json.loads(opening + file.read(length - 1))
            raw.pop("__metadata__", None)
            tensors = {name: Tensor(entry["dtype"], tuple(entry["shape"])) for name, entry in raw.items()}
            whole = 8 + length + max((entry["data_offsets"][1] for entry in raw.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise _Broken(f"{path.name} is no safetensors file") from None
    if size < whole:
        raise _Broken(f"{path.name} is cut short ({size:,} of {whole:,} bytes)")
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise _Broken(f"{path.name} is not readable JSON") from None
    if not isinstance(value, dict):
        raise _Broken(f"{path.name} is not a JSON object")
    return value


def base_of_adapter(folder: Path) -> str | None:
    """The model that the adapter in `folder` was trained on, as it was named then; None where `folder` holds no adapter but a model.

    Raises:
        ModelError: its config is damaged.
    """
    path = folder / ADAPTER_CONFIG
    try:
        base = _read_json(path).get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise _Broken(f"`base_model_name_or_path` in {path.name} is {base!r}")
    except FileNotFoundError:
        return None
    except (_Broken, OSError) as error:
        said = str(error) if isinstance(error, _Broken) else f"{path.name} cannot be read ({error.strerror or error})"
        raise ModelError(
            f"the adapter {str(folder)!r} is damaged: {said}", "expected what PEFT wrote there", "Copy the folder again, or train again."
        ) from None
    return base


@dataclass(frozen=True)
class Adapter:
    """What an adapter's folder holds.

    Args:
        base: the model that it was trained on, as it was named then.
        tensors: their names.
    """

    base: str
    tensors: frozenset[str]


def whole_adapter(folder: Path) -> Adapter:
    """What the adapter in `folder` is, from its config and its weights' header; no weight is read.

    Raises:
        ModelError: a file is missing, damaged or cut short.
    """
    missing = [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (folder / name).is_file()]
    base = None if missing else base_of_adapter(folder)
    if base is None:
        raise ModelError(
            f"the adapter folder {str(folder)!r} is incomplete: {'; '.join(missing)}",
            f"expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}",
            "Copy the folder again, or train again.",
        )
    return Adapter(base, frozenset(read_header(folder / ADAPTER_WEIGHTS)))


def _shards(folder: Path, missing: list[str]) -> dict[str, set[str]]:
    """File name → names of the tensors it must hold; empty for a single file, of which any content will do."""
    if (folder / WEIGHTS).is_file():
        return {WEIGHTS: set()}
    if not (folder / INDEX).is_file():
        missing.append(f"{WEIGHTS} (or {INDEX} and the files that it names)")
        return {}
    weight_map = _read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _Broken(f"{INDEX} names no files")
    shards: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        shards.setdefault(str(name), set()).add(tensor)
    return shards


def _read_weights(folder: Path, missing: list[str]) -> dict[str, Tensor]:
    """All tensors of the folder's safetensors files; what is not there is added to `missing`."""
    found: dict[str, Tensor] = {}
    try:
        shards = _shards(folder, missing)
    except _Broken as error:
        missing.append(str(error))
        return found
    for name, wanted in sorted(shards.items()):
        path = folder / name
        if Path(name).name != name or not path.is_file():
            missing.append(f"{name} (named by {INDEX})")
            continue
        try:
            tensors = _read_header(path)
        except _Broken as error:
            missing.append(str(error))
            continue
        missing.extend(f"tensor {tensor!r} in {name}" for tensor in sorted(wanted - tensors.keys()))
        found.update(tensors)
    return found


def _refuse_unsafe(folder: Path, configs: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for name, config in configs:
        if "auto_map" in config:
            raise ModelError(
                f"the model {str(folder)!r} brings its own code (`auto_map` in {name})",
                "expected an architecture that transformers has built in; code from a model folder is never run",
                f"Choose another model; or, if transformers knows its model_type, take `auto_map` out of {name}.",
            )


def _refuse_other_weights(folder: Path) -> None:
    if (folder / WEIGHTS).is_file() or (folder / INDEX).is_file():
        return
    others = sorted({path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern)} - NOT_WEIGHTS)
    if others:
        raise ModelError(
            f"the model folder {str(folder)!r} has its weights as {', '.join(repr(name) for name in others[:3])} only",
            f"expected safetensors ({WEIGHTS}); other formats can hold code that runs when they are read, or are not for training",
            "Get the version with `*.safetensors` files; or, if you trust it, convert it: load it with transformers, `save_pretrained`.",
        )


def _refuse_no_model_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(
            f"the model folder {str(folder)!r} is a file",
            "expected a folder with config.json and *.safetensors",
            "Name the folder it lies in.",
        )
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file():
        raise ModelError(
            f"{str(folder)!r} is an adapter, not a model",
            "expected the model that it was trained on",
            "Set `model.source` to that model; its name is `base_model_name_or_path` in adapter_config.json.",
        )


def _parameters(tensors: dict[str, Tensor]) -> int:
    """Weights of the model; bitsandbytes packs two 4-bit weights in a byte and keeps its own tables beside them."""
    packed = {name.partition(".quant_state.")[0] for name in tensors if ".quant_state." in name}
    tables = tuple(f"{name}." for name in packed)
    return sum(
        math.prod(tensor.shape) * (2 if name in packed else 1)
        for name, tensor in tensors.items()
        if not (tables and name.startswith(tables))
    )


def _quantized(config: dict[str, Any]) -> str | None:
    stored = config.get("quantization_config")
    if not isinstance(stored, dict):
        return None
    method = str(stored.get("quant_method", "unknown"))
    bits = 4 if stored.get("load_in_4bit") else 8 if stored.get("load_in_8bit") else stored.get("bits")
    return f"{method} {bits}-bit" if bits else method


def _first_int(config: dict[str, Any], keys: Iterable[str]) -> int | None:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)


def _wrong_sizes(config: dict[str, Any]) -> list[str]:
    """Sizes in a config of which no model can be made; null and lists have a meaning in some families."""
    sections = [("", config), ("text_config.", config.get("text_config"))]
    return [
        f"`{section}{key}` is {values[key]!r}"
        for section, values in sections
        if isinstance(values, dict)
        for key in (*SIZE_KEYS, *CONTEXT_KEYS)
        if isinstance(values.get(key), str | float | bool) or (isinstance(values.get(key), int) and values[key] < 1)
    ]


def _refuse_wrong_config(folder: Path, source: str, config: dict[str, Any]) -> None:
    wrong = _wrong_sizes(config)
    if wrong:
        raise ModelError(
            f"in {CONFIG} of {str(folder)!r} {', '.join(wrong)}",
            "expected whole numbers from 1",
            _MEND.get(source, f"Mend its {CONFIG}, or download the model again."),
        )
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        raise ModelError(
            f"in {CONFIG} of {str(folder)!r} `architectures` is {named!r}",
            "expected a list with a name",
            _MEND.get(source, f"Mend its {CONFIG}, or download the model again."),
        )


def inspect_folder(folder: Path, source: str) -> ModelInfo:
    """What the model in `folder` is, from its config and its weights' headers; no weight is read.

    Raises:
        ModelError: it is incomplete (the message lists all that is missing), brings code, has no safetensors weights,
            or its config has sizes that no model has.
    """
    _refuse_no_model_folder(folder)
    _refuse_other_weights(folder)
    missing: list[str] = []
    configs: dict[str, dict[str, Any]] = {}
    for name in (CONFIG, "tokenizer_config.json"):
        if (folder / name).is_file():
            try:
                configs[name] = _read_json(folder / name)
            except _Broken as error:
                missing.append(str(error))
        elif name == CONFIG:
            missing.append(name)
    _refuse_unsafe(folder, configs.items())
    tensors = _read_weights(folder, missing)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        missing.append("tokenizer.json (or another tokenizer's files)")
    if missing:
        raise ModelError(
            f"the model folder {str(folder)!r} is incomplete: {'; '.join(missing)}",
            "expected config.json, all safetensors weights and the tokenizer, each whole",
            _MEND.get(source, "Copy or download the missing files again."),
        )
    _refuse_wrong_config(folder, source, configs[CONFIG])
    return _info(folder, source, configs[CONFIG], tensors)


def _info(folder: Path, source: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> ModelInfo:
    weights = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else [folder / name for name in _shards(folder, [])]
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + math.prod(tensor.shape)
    return ModelInfo(
        source=source,
        folder=folder,
        architecture=str((config.get("architectures") or [config.get("model_type", "unknown")])[0]),
        model_type=str(config.get("model_type", "unknown")),
        parameters=_parameters(tensors),
        size_bytes=sum(path.stat().st_size for path in weights),
        dtype=max(sizes, key=lambda name: sizes[name], default="unknown"),
        context=_first_int(text, CONTEXT_KEYS),
        vocabulary=_first_int(text, ("vocab_size",)),
        quantized=_quantized(config),
    )
