"""Every setting, typed, with its unit and, where it has one, its place in the paper.

A preset is a YAML file with the same keys. `load` merges preset and command line, and answers a mistake with one
line. Jobs add their own keys by subclassing `Config`; see jobs/.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from p2i_ray.errors import UserError

PRESETS = Path(__file__).parent / "presets"
# A preset may name these although a job has no use for them; the command line may not.
JOB_KEYS = ("run_dir", "data")


class Settings(BaseModel):
    """A group of settings: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class RayConfig(Settings):
    """The cluster. These settings change where things run, never what comes out."""

    address: str | None = Field(None, description="cluster to join; none: RAY_ADDRESS, or a local one is started")
    local_cpus: int | None = Field(None, ge=1, description="logical CPUs of a local cluster (none: the machine's)")
    object_store_mb: int | None = Field(
        None, ge=80, description="object store of a local cluster, MB (none: Ray's choice)"
    )


class ImageConfig(Settings):
    """What is taken in as an image. Anything beyond is set aside with a reason."""

    resolution: int = Field(
        512, ge=32, multiple_of=8, description="side of the square training image, pixels (paper: 512)"
    )
    max_bytes: int = Field(30_000_000, gt=0, description="largest encoded image, bytes")
    max_pixels: int = Field(50_000_000, gt=0, description="largest decoded image, pixels")


class JudgeConfig(Settings):
    """The LMM that scores and criticises: R, F and SUM of Eq. 6 to 8, on vLLM engines."""

    model: str = Field(description="folder or id of a vision-language model with safetensors weights")
    prompts: str | None = Field(
        None, description="folder with score.yaml, critique.yaml, summary.yaml (none: built in)"
    )
    reasoned: bool = Field(False, description="write a reason before the score: slower, one generation a row")
    max_reason_tokens: int = Field(128, ge=8, description="longest reason or critique, tokens")
    max_summary_tokens: int = Field(160, ge=8, description="longest feedback text, tokens")
    max_name_chars: int = Field(300, ge=1, description="product names are cut after this many characters")
    summary_examples: int = Field(24, ge=0, description="critiques shown word for word to the summary, rows")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="weights and arithmetic")
    max_model_len: int = Field(4096, ge=64, description="longest prompt plus answer, tokens")
    prefix_caching: bool = Field(True, description="compute rubric, feedback and exemplars once")
    enforce_eager: bool = Field(False, description="no CUDA graphs and no compilation: quicker start, slower steps")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs an engine")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="share of a GPU's memory that an engine takes")
    kv_cache_gb: int = Field(1, ge=1, description="key-value cache of a CPU engine, GB")
    replicas: int = Field(1, ge=1, description="engines")
    num_gpus: float = Field(1, ge=0, description="GPUs an engine reserves; 0 runs it on the CPU")
    num_cpus: float = Field(1, ge=0, description="CPUs an engine reserves")
    in_flight: int = Field(64, ge=1, description="requests that wait at each engine, rows")
    keep_warm: bool = Field(False, description="keep engines between the steps of a run; else free them for training")


class PainterConfig(Settings):
    """The inpainting model and the frozen encoder that Contrastive Background Alignment looks through."""

    base: str = Field(description="diffusers folder of a 9-channel Stable Diffusion inpainting model")
    clip: str = Field(description="transformers folder of the CLIP whose text tower the model uses (frozen, for CBA)")
    token: str = Field("<background>", description="learned token appended to the product's name")
    token_from: str = Field("background", description="word whose embedding the token starts from")


class FeatureConfig(Settings):
    """Frozen encoders over the kept rows: VAE moments and CLIP features, computed once."""

    batch_size: int = Field(16, ge=1, description="rows encoded at once")
    workers: int = Field(1, ge=1, description="encoder actors")
    num_gpus: float = Field(1, ge=0, description="GPUs an encoder reserves")
    num_cpus: float = Field(1, ge=0, description="CPUs an encoder reserves")


class TrainConfig(Settings):
    """Fine-tuning by Eq. 5 on Ray Train and DeepSpeed."""

    batch_size: int = Field(64, ge=1, description="global batch, rows (paper: 64)")
    accumulation: int = Field(1, ge=1, description="micro-batches a step and worker")
    workers: int = Field(4, ge=1, description="training processes (paper: 4 A100)")
    num_gpus: float = Field(1, ge=0, description="GPUs a worker; 0 trains on CPUs over gloo")
    num_cpus: float = Field(4, ge=0, description="CPUs a worker")
    zero_stage: Literal[0, 1, 2] = Field(2, description="DeepSpeed ZeRO stage")
    dtype: Literal["fp32", "bf16"] = Field("bf16", description="arithmetic of the forward and backward pass")
    lr_unet: float = Field(1e-5, gt=0, description="UNet and <background> embedding (paper: 1e-5)")
    lr_text: float = Field(1e-6, ge=0, description="rest of the text encoder (paper: 1e-6); 0 freezes it")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of a round's steps that warm up linearly")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay (not on <background>)")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clipping, L2 norm")
    contrastive_weight: float = Field(0.01, ge=0, description="lambda of Eq. 5 (paper: 0.01); 0 trains without CBA")
    temperature: float = Field(0.05, gt=0, description="tau of Eq. 4 (paper: 0.05)")
    name_dropout: float = Field(0.1, ge=0, lt=1, description="share of rows trained with an empty prompt, for guidance")
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, slower")
    checkpoint_every: int = Field(250, ge=1, description="steps between checkpoints")
    max_failures: int = Field(3, ge=0, description="times that lost workers are replaced before the step fails")
    timeout_s: float = Field(1800, gt=0, description="longest wait for another worker, seconds")


class GenerateConfig(Settings):
    """Painting with the finished model."""

    steps: int = Field(30, ge=1, description="denoising steps of Euler Ancestral (paper: 30)")
    guidance: float = Field(7.5, ge=1, description="classifier-free guidance scale; 1 is off")
    batch_size: int = Field(8, ge=1, description="pictures denoised at once")
    workers: int = Field(4, ge=1, description="painting actors")
    num_gpus: float = Field(1, ge=0, description="GPUs an actor")
    num_cpus: float = Field(1, ge=0, description="CPUs an actor")
    dtype: Literal["fp32", "bf16", "fp16"] = Field("bf16", description="arithmetic")
    soft_edge: float = Field(0.0, ge=0, description="blur of the mask's edge when the product is pasted back, pixels")


class EvaluateConfig(Settings):
    """The ruler. Its CLIP should not be the painter's."""

    clip: str = Field(description="transformers folder of the CLIP that measures")
    fid_features: Literal["clip", "inception"] = Field("inception", description="features of the Frechet distance")
    batch_size: int = Field(32, ge=1, description="pictures measured at once")
    num_gpus: float = Field(0, ge=0, description="GPUs the measuring task reserves")
    num_cpus: float = Field(1, ge=0, description="CPUs the measuring task reserves")


class LoopConfig(Settings):
    """Iterative Data Refinement, Algorithm 1."""

    rounds: int = Field(3, ge=1, description="R, rounds (paper: 3)")
    gamma: float = Field(4, ge=1, le=5, description="lowest score that is kept (paper: 4)")
    threshold_on: Literal["score", "expected_score"] = Field("score", description="which score gamma is compared with")
    steps: tuple[int, ...] = Field(
        (3000, 1000, 1000), description="training steps of each round (paper: 3000, 1000, 1000)"
    )
    select: bool = Field(True, description="false: no judge; every round trains on all rows (the ablation without IDR)")
    feedback: bool = Field(True, description="false: the judge scores every round without feedback")
    dev_split: str = Field("validation", description="D_dev, painted and criticised after every round")
    baseline: bool = Field(True, description="also paint and measure D_dev before training, as round 0")


class Config(Settings):
    """What every job shares."""

    seed: int = Field(0, ge=0, description="of everything random; same seed, same machine: same kept ids, same weights")
    prepare: str | None = Field(
        None, description="module that makes the data (`python -m MODULE --out DATA`) if DATA is not there"
    )
    ray: RayConfig = RayConfig()
    image: ImageConfig = ImageConfig()
    judge: JudgeConfig
    painter: PainterConfig
    features: FeatureConfig = FeatureConfig()
    train: TrainConfig = TrainConfig()
    generate: GenerateConfig = GenerateConfig()
    evaluate: EvaluateConfig
    idr: LoopConfig = LoopConfig()


AnyConfig = TypeVar("AnyConfig", bound=Config)


def load(config_class: type[AnyConfig], source: str, overrides: Sequence[str] = ()) -> AnyConfig:
    """Read a preset or file and lay `dotted.key=value` settings over it.

    Args:
        config_class: `Config` or a job's subclass.
        source: a preset's name (a file of p2i_ray/presets) or the path of a YAML file.
        overrides: `key=value` or `group.key=value`; values are YAML.

    Raises:
        UserError: the preset, the file or a key isn't there, or a value doesn't fit; the line names the nearest key.
    """
    values = _read(source)
    values = {k: v for k, v in values.items() if k in config_class.model_fields or k not in JOB_KEYS}
    for setting in overrides:
        _lay(values, setting, config_class)
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        raise UserError(_one_line(error, config_class, source)) from None


def describe(config_class: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting as (dotted key, default, description), depth first."""
    for key, info in config_class.model_fields.items():
        group = _group(info)
        if group:
            yield from describe(group, f"{prefix}{key}.")
        else:
            default = (
                "required" if info.is_required() else yaml.safe_dump(_plain(info.default), default_flow_style=True)
            )
            yield f"{prefix}{key}", default.split("\n")[0], info.description or ""


def differences(old: dict[str, Any], new: dict[str, Any], ignore: Sequence[str] = ()) -> list[str]:
    """The settings in which two dumped configurations differ, as `key: old -> new`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    keys = sorted(before.keys() | after.keys())
    changed = (
        k for k in keys if before.get(k) != after.get(k) and not any(k == i or k.startswith(f"{i}.") for i in ignore)
    )
    return [f"{k}: {before.get(k)!r} -> {after.get(k)!r}" for k in changed]


def _read(source: str) -> dict[str, Any]:
    path = Path(source)
    preset = PRESETS / f"{source}.yaml"
    if preset.is_file():
        path = preset
    elif not path.is_file():
        names = sorted(p.stem for p in PRESETS.glob("*.yaml"))
        raise UserError(
            f"config {source!r} is neither a preset ({', '.join(names)}) nor a file{_nearest(source, names)}"
        )
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config {source!r} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UserError(f"config {source!r} must hold settings (key: value), not {type(values).__name__}")
    return values


def _lay(values: dict[str, Any], setting: str, config_class: type[BaseModel]) -> None:
    key, equals, text = setting.partition("=")
    known = [k for k, _, _ in describe(config_class)]
    if not equals:
        raise UserError(f"setting {setting!r} has no value; write key=value{_nearest(key, known)}")
    if key not in known:
        raise UserError(f"unknown setting {key!r}{_nearest(key, known)}; --help lists them all")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *groups, last = key.split(".")
    for group in groups:
        values = values.setdefault(group, {})
    values[last] = value


def _one_line(error: ValidationError, config_class: type[BaseModel], source: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key!r} in {source!r}{_nearest(key, [k for k, _, _ in describe(config_class)])}"
    if first["type"] == "missing":
        return f"setting {key!r} is missing; give it as {key}=VALUE"
    return f"setting {key}={first.get('input')!r}: {first['msg']}"


def _nearest(word: str, known: Sequence[str]) -> str:
    by_last = {k.rsplit(".", 1)[-1]: k for k in known}
    close = difflib.get_close_matches(word, known, 1, 0.6) or [
        by_last[m] for m in difflib.get_close_matches(word.rsplit(".", 1)[-1], list(by_last), 1, 0.6)
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def _group(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
