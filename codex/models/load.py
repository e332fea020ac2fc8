"""Load weights and tokenizers; nothing else in Codex does.

`describe` and `resolve_folder` need no torch.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codex.config.schema import ModelConfig
from codex.core.errors import ModelError
from codex.core.paths import Workspace, is_there, tiny_model_folder, typed_path
from codex.models.folder import ADAPTER_CONFIG, ModelInfo, inspect_folder, whole_adapter
from codex.models.hub import PREFIX, HubModel, OnDownload, obtain
from codex.models.shapes import empty_model, hushed, read_config, refuse_partial

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TINY = "codex-tiny"
BLOCK = 64  # weights that share one scale in 4-bit


@dataclass(frozen=True)
class Quantization:
    """How weights are held in 4 bits while an adapter trains on them (https://arxiv.org/abs/2305.14314).

    Args:
        kind: the 4-bit type; `nf4` suits weights that are normally distributed.
        double: also quantise the scales, which saves 0.4 bits a weight.
        compute_dtype: what a matrix product is computed in; None takes the model's `dtype`.
    """

    kind: Literal["nf4", "fp4"] = "nf4"
    double: bool = True
    compute_dtype: Literal["float32", "bfloat16", "float16"] | None = None


def resolve_folder(model: ModelConfig, workspace: Workspace, on_download: OnDownload | None = None) -> Path:
    """The folder that `model.source` means: the shipped model, a path, a name in the workspace's `models/`, or a hub model.

    Raises:
        ModelError: there is none; the message names the nearest, or for a hub model its size.
    """
    source = model.source
    if source == TINY:
        return tiny_model_folder()
    if source == "scratch":
        raise ModelError(
            "`model.source` is 'scratch', a model yet to be built", "expected one that has weights", f"Train it first, or use {TINY!r}."
        )
    if source.startswith(PREFIX):
        return obtain(HubModel.parse(source), confirmed=model.confirm_download, on_download=on_download)
    for folder in (typed_path(source), workspace.models / source):
        if is_there(folder):
            return folder.absolute()
    raise _unknown(source, workspace)


def _unknown(source: str, workspace: Workspace) -> ModelError:
    own = sorted(path.name for path in workspace.models.iterdir() if path.is_dir()) if workspace.models.is_dir() else []
    path = typed_path(source)
    beside = (
        {str(Path(source).parent / entry.name) for entry in path.parent.iterdir() if entry.is_dir()}
        if is_there(path.parent) and path.parent.is_dir()
        else set()
    )
    near = get_close_matches(source, [TINY, *own, *sorted(beside)], n=1)
    return ModelError(
        f"`model.source` is {source!r}, and there is no such model",
        f"expected {', '.join(repr(name) for name in (TINY, *own))}, a folder, or `{PREFIX}owner/name`",
        f"Did you mean `model.source={near[0]}`?" if near else f"Use `model.source={TINY}`, or give the folder's whole path.",
    )


def describe(model: ModelConfig, workspace: Workspace, on_download: OnDownload | None = None) -> ModelInfo:
    """What the model is and whether it is whole, without loading it; a confirmed hub model is fetched.

    Raises:
        ModelError: it is not there, not whole, not safe to load, or not confirmed.
    """
    folder = resolve_folder(model, workspace, on_download)
    try:
        return inspect_folder(folder, model.source)
    except OSError as error:
        raise ModelError(
            f"the model folder {str(folder)!r} cannot be read ({error.strerror or error})",
            "expected files that you may read",
            "Mend its permissions.",
        ) from error


def load_tokenizer(model: ModelConfig, workspace: Workspace) -> PreTrainedTokenizerBase:
    """The model's own tokenizer.

    Raises:
        ModelError: the model folder is not whole, or transformers cannot read the tokenizer in it.
    """
    info = describe(model, workspace)
    from transformers import AutoTokenizer

    with _loading(info, "tokenizer"):
        return AutoTokenizer.from_pretrained(str(info.folder), trust_remote_code=False, local_files_only=True)


def choose_device(asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Where the model goes: `auto` takes the GPU when there is one.

    Raises:
        ModelError: a GPU is asked for where PyTorch sees none.
    """
    import torch

    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        built = "sees none" if torch.version.cuda else f"{torch.__version__} was built without CUDA"
        raise ModelError(
            f"`model.device` is 'cuda', and PyTorch {built}",
            "expected an NVIDIA GPU, its driver, and a PyTorch built for CUDA",
            "Set `model.device=auto`; to use a GPU, install PyTorch with CUDA (https://pytorch.org/get-started).",
        )
    return "cuda"


def load_model(model: ModelConfig, workspace: Workspace, quantization: Quantization | None = None) -> PreTrainedModel:
    """The model with its weights, ready to be judged, spoken with or trained.

    Args:
        model: which one, its type and device.
        workspace: where names of models are looked up.
        quantization: hold its linear layers in 4 bits; None loads them as `model.dtype`.

    Raises:
        ModelError: it is not there, not whole, no text model, does not fit `quantization`, or the device is missing.
    """
    info = describe(model, workspace)
    device = choose_device(model.device)
    import torch
    from transformers import AutoModelForCausalLM

    config = read_config(info)
    empty = empty_model(info, config)
    extra: dict[str, Any] = {}
    if quantization is not None:
        _refuse_quantized(info)
        _import_bitsandbytes()
        if device == "cpu":
            _refuse_odd_sizes(info, empty)
        extra = {"quantization_config": _bitsandbytes_config(quantization, model.dtype)}
    if device == "cuda" or quantization is not None:
        extra["device_map"] = {"": device}
    with _loading(info, "weights"):
        found: Any = AutoModelForCausalLM.from_pretrained(
            str(info.folder),
            config=config,
            dtype=getattr(torch, model.dtype),
            attn_implementation=model.attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            **extra,
        )
    loaded, report = found
    refuse_partial(info, report)
    keep_4bit_weights_unpacked(loaded)
    return loaded


def keep_4bit_weights_unpacked(model: Any) -> int:
    """Stop bitsandbytes from repacking 4-bit weights in place; gives how many layers that concerned.

    On CPUs with AVX512-BF16 any forward in eval mode without gradients repacks `Linear4bit` weights for a kernel that has no
    backward pass: training after an evaluation then has wrong gradients, without a word.
    """
    import sys

    if "bitsandbytes" not in sys.modules:
        return 0
    from bitsandbytes.nn.modules import Linear4bit

    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)


def attach_adapter(model: PreTrainedModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """`model` with the saved adapter of `folder` on it.

    Not covered: an adapter of a model that differs only in what the adapter does not touch; it goes on without an error.

    Raises:
        ModelError: the folder holds no whole adapter, or one of another model.
    """
    stored = whole_adapter(folder).tensors
    from peft import PeftModel, get_peft_model_state_dict

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # they are an error below
            adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=trainable, local_files_only=True)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise _other_model(folder, str(error).strip().splitlines()[-1]) from error
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    # PEFT only warns about what it did not find, and says nothing of what it did not use.
    unmatched = sorted(expected.keys() - stored) + sorted(name for name in stored - expected.keys() if "lora_" in name)
    if unmatched:
        raise _other_model(folder, f"{len(unmatched)} of its tensors do not match, {unmatched[0]!r} among them")
    return adapted


def _other_model(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"the adapter {str(folder)!r} does not go onto this model: {why}",
        "expected an adapter that was trained on it",
        f"Use the model that `base_model_name_or_path` in its {ADAPTER_CONFIG} names.",
    )


@contextmanager
def _loading(info: ModelInfo, part: str) -> Iterator[None]:
    """No progress bar and no report of transformers, and its errors as ours."""
    from safetensors import SafetensorError

    try:
        with hushed():
            yield
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(
            f"the {part} of {str(info.folder)!r} cannot be loaded: {said}",
            "expected a text model that the installed transformers has built in",
            "Choose another model, or download this one again.",
        ) from error


def _refuse_quantized(info: ModelInfo) -> None:
    if info.quantized is not None:
        raise ModelError(
            f"the model {str(info.folder)!r} is stored quantised ({info.quantized}), and the method asks to quantise it",
            "expected full-precision weights",
            "Use the version that is not quantised; or train on it as it is with `method=lora`.",
        )


def _refuse_odd_sizes(info: ModelInfo, empty: Any) -> None:
    """Before the weights are read: on CPU, 4-bit kernels are made for whole blocks."""
    import torch

    head = empty.get_output_embeddings()
    odd = [
        f"{name} is {module.in_features} x {module.out_features}"
        for name, module in empty.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and (module.in_features % BLOCK or module.out_features % BLOCK)
    ]
    if odd:
        raise ModelError(
            f"the model {str(info.folder)!r} has {len(odd)} layers of sizes that 4-bit on CPU cannot take ({odd[0]})",
            f"expected multiples of {BLOCK}",
            "Use `method=lora`, a GPU, or another model.",
        )


def _import_bitsandbytes() -> None:
    # Its import warns about a hub kernel for the very repacking that is switched off here.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    import bitsandbytes  # noqa: F401


def _bitsandbytes_config(quantization: Quantization, dtype: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.kind,
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=getattr(torch, quantization.compute_dtype or dtype),
    )
