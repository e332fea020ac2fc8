"""What a run can be asked for: every field with its title, help, unit and bounds, here and nowhere else.

A form field, a YAML key, a CLI override, an environment variable and a notebook argument are the same field of these models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny

from codex.config.section import Conflict, Section, basic, unit

BUILT_IN_DATA = ("stdlib-docstrings", "stdlib-source")
"""Data that is split into training and held-out by module, so that no share needs to be held out."""


def _divisor(whole: int, near: int) -> int:
    """The largest divisor of `whole` that is no larger than `near`."""
    return next(part for part in range(min(near, whole), 0, -1) if whole % part == 0)


class ScratchShape(Section):
    """The shape of a new Llama-architecture model, when none is loaded."""

    hidden_size: int = Field(
        256,
        ge=64,
        le=8192,
        multiple_of=64,
        title="Hidden size",
        description="Width of the model. A multiple of 64, as 4-bit training needs.",
    )
    layers: int = Field(5, ge=1, le=128, title="Layers", description="Depth of the model.")
    heads: int = Field(4, ge=1, le=128, title="Attention heads", description="Must divide the hidden size.")
    kv_heads: int = Field(2, ge=1, le=128, title="Key-value heads", description="Must divide the attention heads.")
    mlp_size: int = Field(704, ge=64, le=65536, multiple_of=64, title="MLP size", description="Width inside the gated MLP.")
    vocabulary: int = Field(
        2048,
        ge=512,
        le=131072,
        multiple_of=64,
        title="Vocabulary",
        description="Tokens of the byte-level BPE tokenizer trained with the model.",
        json_schema_extra=unit("tokens"),
    )
    context: int = Field(
        512, ge=64, le=131072, title="Context", description="Longest text the model is built for.", json_schema_extra=unit("tokens")
    )

    def conflicts(self) -> Iterator[Conflict]:
        if self.hidden_size % (2 * self.heads):
            yield Conflict(
                ("heads", "hidden_size"),
                "expected heads that divide half the hidden size, for rotary positions turn pairs of numbers",
                f"Set `{{at}}heads={_divisor(self.hidden_size // 2, self.heads)}`.",
            )
        if self.heads % self.kv_heads:
            yield Conflict(
                ("kv_heads", "heads"),
                "expected key-value heads that divide the heads",
                f"Set `{{at}}kv_heads={_divisor(self.heads, self.kv_heads)}`.",
            )


class ModelConfig(Section):
    """Which model is trained."""

    source: str = Field(
        "codex-tiny",
        min_length=1,
        title="Model",
        description="`codex-tiny` (shipped), a local folder, or a hub name as `hub:owner/name`; `scratch` builds a new one.",
        json_schema_extra=basic(),
    )
    confirm_download: bool = Field(
        False,
        title="Confirm the download",
        description="A hub model is fetched only when this is true; the error before it names the size.",
        json_schema_extra=basic(),
    )
    scratch: ScratchShape | None = Field(None, title="Shape", description="Only for `source: scratch`.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        title="Weights' type",
        description="Type of the weights that are not quantised. bfloat16 on GPUs that have it; float32 on CPU.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", title="Device", description="`auto` takes the GPU when there is one.")
    attention: Literal["sdpa", "eager"] = Field("sdpa", title="Attention", description="`sdpa` is PyTorch's fused attention.")

    def conflicts(self) -> Iterator[Conflict]:
        if self.source == "scratch" and self.scratch is None:
            yield Conflict(
                ("source", "scratch"), "expected the shape of the new model", "Choose `model=codex-tiny-scratch`, which brings one."
            )
        if self.source != "scratch" and self.scratch is not None:
            yield Conflict(
                ("source", "scratch"),
                "expected a shape only for `scratch`, a new model",
                "Set `{at}scratch=null`, or `{at}source=scratch`.",
            )


class DataConfig(Section):
    """What it is trained on."""

    source: str = Field(
        "stdlib-docstrings",
        min_length=1,
        title="Data",
        description="`stdlib-docstrings`, `stdlib-source`, or a JSONL file of `messages`, `prompt` and `completion`, or `text`.",
        json_schema_extra=basic(),
    )
    format: str = Field("auto", title="Format", description="`auto` looks at the first line; or a format's name.")
    heldout: str | None = Field(
        None,
        title="Held-out file",
        description="A JSONL file that is only judged, never trained on. Without one, a share of the data is held out.",
    )
    heldout_share: float = Field(
        0.1,
        ge=0.0,
        le=0.5,
        title="Held-out share",
        description="Share of a JSONL file that is held out when no held-out file is given. 0.05 to 0.2 is usual.",
    )
    max_tokens: int = Field(
        512,
        ge=8,
        le=131072,
        title="Longest example",
        description="Longer ones are cut at the end; the report counts them.",
        json_schema_extra=basic() | unit("tokens"),
    )
    max_examples: int | None = Field(
        None, ge=1, title="Most examples", description="Train on at most this many, chosen by the seed.", json_schema_extra=unit("examples")
    )


class MethodSettings(Section):
    """How the weights are changed.

    Here is what is common to all methods; each adds its own settings in its own file.
    """

    trains_all_weights: ClassVar[bool] = False

    name: str = Field(title="Method", description="How the weights are changed: `qlora`, `lora` or `full`.")

    def quantization(self) -> Any:
        """How the base's weights are held while they are trained on; None for as they are."""
        return None

    def attach(self, model: Any, seed: int) -> Any:
        """`model` with exactly those weights requiring gradients that this method trains; new ones are drawn by `seed`."""
        raise TypeError(f"method {self.name!r} does not say what it trains")


class TrainingConfig(Section):
    """How it is trained."""

    steps: int = Field(100, ge=1, le=10_000_000, title="Steps", description="Optimizer steps.", json_schema_extra=basic() | unit("steps"))
    batch_size: int = Field(
        8,
        ge=1,
        le=4096,
        title="Batch size",
        description="Examples in one forward pass on one device.",
        json_schema_extra=basic() | unit("examples"),
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=4096,
        title="Gradient accumulation",
        description="Forward passes per step. Batch size times this is what one step sees.",
        json_schema_extra=unit("passes"),
    )
    learning_rate: float = Field(
        2e-4,
        gt=0,
        le=1.0,
        title="Learning rate",
        description="Peak, reached after warm-up. 1e-5 to 1e-3 is usual for QLoRA.",
        json_schema_extra=basic(),
    )
    schedule: Literal["constant_with_warmup", "linear", "cosine", "cosine_with_min_lr"] = Field(
        "cosine", title="Schedule", description="How the rate falls after warm-up."
    )
    warmup_steps: int = Field(
        10, ge=0, le=1_000_000, title="Warm-up", description="Steps over which the rate rises from 0.", json_schema_extra=unit("steps")
    )
    min_rate_share: float = Field(
        0.05, ge=0.0, le=1.0, title="Last rate", description="Share of the peak that `cosine_with_min_lr` ends at."
    )
    optimizer: Literal["adamw", "muon", "paged_adamw_8bit"] = Field(
        "adamw",
        title="Optimizer",
        description="`muon` orthogonalises matrices and takes AdamW for the rest; for full training only. `paged_adamw_8bit` needs a GPU.",
    )
    weight_decay: float = Field(0.0, ge=0.0, le=1.0, title="Weight decay", description="Pull of the weights towards 0. 0 to 0.1 is usual.")
    max_grad_norm: float = Field(1.0, gt=0.0, le=1000.0, title="Gradient clipping", description="Longest gradient that a step may take.")
    autocast: Literal["no", "bf16", "fp16"] = Field(
        "no", title="Mixed precision", description="Type that forward and backward compute in. `bf16` on GPUs that have it."
    )
    gradient_checkpointing: bool = Field(
        False,
        title="Gradient checkpointing",
        description="Computes activations again in the backward pass: less memory, about a third slower.",
    )
    padding_free: bool = Field(
        False,
        title="Padding-free batches",
        description="Puts a batch's examples end to end instead of padding them. Fewer wasted tokens; attention keeps them apart.",
    )
    log_every: int = Field(
        1,
        ge=1,
        le=100_000,
        title="Log every",
        description="Steps between logged metrics; the first and the last are always logged.",
        json_schema_extra=unit("steps"),
    )
    save_every: int = Field(
        20,
        ge=1,
        le=1_000_000,
        title="Checkpoint every",
        description="Steps between checkpoints, from which a run resumes.",
        json_schema_extra=unit("steps"),
    )
    keep_checkpoints: int = Field(2, ge=1, le=1000, title="Checkpoints kept", description="Older ones are deleted.")
    evaluate_every: int = Field(
        0,
        ge=0,
        le=1_000_000,
        title="Held-out loss every",
        description="Steps between held-out losses while training; 0 for none.",
        json_schema_extra=unit("steps"),
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="CPU threads",
        description="Threads of PyTorch; empty takes `OMP_NUM_THREADS` or PyTorch's choice. 1 makes CPU runs repeat exactly.",
    )


class EvaluationConfig(Section):
    """How it is judged at the end."""

    judge: bool = Field(
        True, title="Judge at the end", description="Compares base and result on held-out examples.", json_schema_extra=basic()
    )
    examples: int = Field(
        200,
        ge=2,
        le=1_000_000,
        title="Held-out examples",
        description="At most this many are judged, chosen by the seed.",
        json_schema_extra=unit("examples"),
    )
    batch_size: int = Field(
        16, ge=1, le=4096, title="Batch size", description="Examples in one forward pass of judging.", json_schema_extra=unit("examples")
    )
    resamples: int = Field(2000, ge=200, le=1_000_000, title="Bootstrap resamples", description="More make the interval steadier.")
    confidence: float = Field(0.95, gt=0.5, lt=1.0, title="Confidence", description="Of the intervals.")


class TrackingConfig(Section):
    """Where metrics go besides the session log."""

    mlflow: bool = Field(True, title="MLflow", description="Writes parameters and metrics to the workspace's MLflow database.")
    experiment: str = Field("codex", min_length=1, max_length=200, title="Experiment", description="MLflow experiment.")
    system_metrics: bool = Field(True, title="System metrics", description="Memory and CPU of the worker, with each logged step.")


class RunConfig(Section):
    """Everything that one training run is asked to do."""

    recipe: str = Field("qlora-docstrings", title="Recipe", description="The recipe that this configuration started from.")
    title: str = Field(
        "",
        max_length=200,
        title="Title",
        description="What the run is called in lists, on one line; empty takes the recipe's name.",
        json_schema_extra=basic(),
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        42, title="Seed", description="Of weights, data order and resampling.", json_schema_extra=basic()
    )
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    data: DataConfig = Field(default_factory=lambda: DataConfig.model_validate({}))
    method: SerializeAsAny[MethodSettings]
    training: TrainingConfig = Field(default_factory=lambda: TrainingConfig.model_validate({}))
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig.model_validate({}))
    tracking: TrackingConfig = Field(default_factory=lambda: TrackingConfig.model_validate({}))

    def conflicts(self) -> Iterator[Conflict]:
        model, data, training = self.model, self.data, self.training
        if self.title and not (self.title.strip() and self.title.strip().isprintable()):
            yield Conflict(("title",), "expected printable characters on one line", "Give another title, such as `title=My run`.")
        if training.optimizer == "muon" and not self.method.trains_all_weights:
            yield Conflict(
                ("training.optimizer", "method.name"),
                "expected `muon` only where whole matrices are trained",
                "Set `training.optimizer=adamw`, or choose `method=full`.",
            )
        if model.source == "scratch" and not self.method.trains_all_weights:
            yield Conflict(
                ("model.source", "method.name"),
                "expected all weights of a new model to be trained: an adapter on random weights learns next to nothing",
                "Choose `method=full`, or `model=codex-tiny`.",
            )
        if model.scratch is not None and data.max_tokens > model.scratch.context:
            yield Conflict(
                ("data.max_tokens", "model.scratch.context"),
                "expected examples no longer than the model's context",
                f"Set `data.max_tokens={model.scratch.context}`.",
            )
        yield from self._heldout_conflicts()
        yield from self._precision_conflicts()

    def _heldout_conflicts(self) -> Iterator[Conflict]:
        data = self.data
        if data.heldout is not None and data.heldout == data.source:
            yield Conflict(
                ("data.heldout", "data.source"),
                "expected a held-out file that is not the one trained on",
                "Set `data.heldout=null` to hold out a share of the data.",
            )
        has_heldout = data.heldout is not None or data.heldout_share > 0 or data.source in BUILT_IN_DATA
        if not has_heldout and self.evaluation.judge:
            yield Conflict(
                ("evaluation.judge", "data.heldout", "data.heldout_share"),
                "expected held-out examples to judge on",
                "Set `data.heldout_share=0.1`, or `data.heldout=FILE.jsonl`, or `evaluation.judge=false`.",
            )
        if not has_heldout and self.training.evaluate_every:
            yield Conflict(
                ("training.evaluate_every", "data.heldout", "data.heldout_share"),
                "expected held-out examples to evaluate on",
                "Set `data.heldout_share=0.1`, or `data.heldout=FILE.jsonl`, or `training.evaluate_every=0`.",
            )

    def _precision_conflicts(self) -> Iterator[Conflict]:
        model, training = self.model, self.training
        if model.device == "cpu" and training.autocast == "fp16":
            yield Conflict(
                ("training.autocast", "model.device"),
                "expected `fp16` only on a GPU, for its gradients need a scaler that CPUs lack",
                "Set `training.autocast=bf16`, or `training.autocast=no`.",
            )
        if model.device == "cpu" and training.optimizer == "paged_adamw_8bit":
            yield Conflict(
                ("training.optimizer", "model.device"),
                "expected `paged_adamw_8bit` only on a GPU, whose memory it pages",
                "Set `training.optimizer=adamw`.",
            )
        if model.dtype == "float16" and self.method.trains_all_weights:
            yield Conflict(
                ("model.dtype", "method.name"),
                "expected trained weights in a type whose small updates do not vanish",
                "Set `model.dtype=float32`, or `model.dtype=bfloat16`.",
            )
