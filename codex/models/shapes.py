"""What a model's config.json builds, and whether its weights fit into that; found out from headers, before any weight is read.

transformers fills what is missing with random numbers, and under 4-bit quantisation does not compare shapes at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from codex.core.errors import ModelError
from codex.models.folder import CONFIG, ModelInfo, tensors_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_fitting: set[tuple[Any, ...]] = set()
"""Model folders of this process whose weights fit, as they stood then: a form asks again after every change."""


@contextmanager
def hushed() -> Iterator[None]:
    """No progress bar and no report of transformers."""
    from transformers.utils import logging as transformers_logging

    shown, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shown:
            transformers_logging.enable_progress_bar()


def check_shapes(info: ModelInfo) -> None:
    """Make sure that the model can be built and that its weights are all there in the shapes that it is built with.

    Reads headers only; a folder that has not changed since the last time is not looked at again.

    Not covered: weights that are stored quantised, whose shapes are the quantiser's.

    Raises:
        ModelError: config.json cannot be used, builds no text model, or is of other weights.
    """
    state = _state(info)
    if state not in _fitting:
        empty_model(info, read_config(info))
        _fitting.add(state)


def read_config(info: ModelInfo) -> PretrainedConfig:
    """The config as the installed transformers takes it.

    Raises:
        ModelError: it does not take it, or it is of no text model.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    with hushed(), _using(info):
        config = AutoConfig.from_pretrained(str(info.folder), trust_remote_code=False, local_files_only=True)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"the model {str(info.folder)!r} is a {info.architecture!r}",
            "expected a causal language model (…ForCausalLM)",
            "Use such a one, as 'codex-tiny' is.",
        )
    return config


def empty_model(info: ModelInfo, config: PretrainedConfig) -> PreTrainedModel:
    """The model that `config` builds, without memory for its weights, which are compared with those of the folder.

    Raises:
        ModelError: it cannot be built, or the folder's weights are not its own.
    """
    import torch
    from transformers import AutoModelForCausalLM

    stored = tensors_of(info.folder)
    _refuse_more_layers_than_tensors(info, config, len(stored))
    with hushed(), _using(info), torch.device("meta"):
        built: Any = AutoModelForCausalLM.from_config(config)
        if info.quantized is not None:
            return built
        # transformers' own way from a file's names to a model's, which differ for many families; on `meta` it moves shapes only.
        tensors = {name: torch.empty(tensor.shape) for name, tensor in stored.items()}
        built, report = type(built).from_pretrained(
            None, config=config, state_dict=tensors, device_map={"": "meta"}, output_loading_info=True, ignore_mismatched_sizes=True
        )
    refuse_partial(info, report)
    return built


def refuse_partial(info: ModelInfo, report: Any) -> None:
    """Refuse a model some of whose weights transformers did not find, or found in another shape.

    Args:
        info: the model.
        report: transformers' loading report.

    Raises:
        ModelError: there is such a weight; the message names the first.
    """
    other = sorted((str(name), tuple(found), tuple(wanted)) for name, found, wanted in report["mismatched_keys"])
    missing = sorted(report["missing_keys"])
    if not other and not missing:
        return
    said = [f"{len(missing)} missing, {missing[0]!r} among them"] if missing else []
    if other:
        name, found, wanted = other[0]
        said.append(f"{len(other)} of another shape, {name!r} {_times(found)} where config.json says {_times(wanted)}")
    raise ModelError(
        f"the weights of {str(info.folder)!r} are not those of its config.json: {'; '.join(said)}",
        f"expected all weights of a {info.architecture} in its sizes",
        f"Mend its {CONFIG}, or download the model again.",
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _refuse_more_layers_than_tensors(info: ModelInfo, config: Any, tensors: int) -> None:
    """Millions of layers would be built for hours before the first is missed."""
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if isinstance(layers, int) and layers > tensors:
        raise ModelError(
            f"config.json of {str(info.folder)!r} says {layers:,} layers, and its files hold {tensors:,} tensors",
            "expected at least one tensor a layer",
            f"Mend its {CONFIG}, or download the model again.",
        )


@contextmanager
def _using(info: ModelInfo) -> Iterator[None]:
    """Whatever a config's values make transformers raise is the config's fault, for nothing else of the person goes in."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{CONFIG} of {str(info.folder)!r} cannot be used: {_reason(error)}",
            "expected the config of a text model that the installed transformers has built in",
            f"Mend its {CONFIG}, download the model again, or choose another one.",
        ) from error


def _reason(error: Exception) -> str:
    """One line of what transformers says; its validation errors say what is wrong on their last line, others on their first."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    strict = any(base.__name__ == "StrictDataclassError" for base in type(error).__mro__)
    said = lines[-1].partition("Error: ")[2] or lines[-1] if strict else lines[0]
    return said if " " in said else f"{type(error).__name__} {said}"


def _state(info: ModelInfo) -> tuple[Any, ...]:
    """Changes when one of the folder's files does."""
    files = sorted(path for path in info.folder.iterdir() if path.suffix in (".json", ".safetensors"))
    stats = [(path.name, path.stat()) for path in files]
    return (info.folder, *((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))
