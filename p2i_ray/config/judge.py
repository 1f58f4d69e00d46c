"""Settings of the judge: engines, prompts and exemplars, cascade and calibration."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from p2i_ray.config.base import Adjustable, Content, Reserving, Result, Runtime, Settings
from p2i_ray.config.flaws import DEFAULT, find_mistake
from p2i_ray.config.hosted import HostedConfig


class CascadeConfig(Reserving):
    """A cascade: a small head on CLIP features decides the rows it is certain of, the LMM the rest."""

    clip: Content[str | None] = Field(None, description="transformers folder of the head's CLIP (none: no cascade)")
    sample: Result[int] = Field(1000, ge=50, description="rows that the LMM scores to fit the head")
    agreement: Result[float] = Field(
        0.98,
        gt=0.5,
        lt=1,
        description="fraction of decisions that must equal the LMM's, on held-out rows of the sample",
    )
    batch_size: Adjustable[int] = Field(64, ge=1, description="pictures per batch of CLIP")
    num_workers: Runtime[int] = Field(1, ge=1, description="CLIP actors")
    num_gpus: Adjustable[float] = Field(0, ge=0, description="GPUs per actor")
    num_cpus: Runtime[float] = Field(0.5, ge=0, description="CPUs per actor")


class JudgeConfig(Reserving):
    """The LMM that scores and criticises: R, F and SUM of Eq. 6 to 8, on vLLM engines or a hosted endpoint."""

    group: ClassVar[str] = "judge"  # where these settings are found, for messages that name one
    model: Content[str] = Field(description="folder or id of a vision-language model with safetensors weights")
    prompts: Content[str | None] = Field(
        None, description="folder with score.yaml, critique.yaml, summary.yaml (none: built in)"
    )
    flaws: Result[tuple[str, ...]] = Field(
        DEFAULT, description='what a critique may name and the report counts: "name" or "name - what it means"'
    )
    show_cutout: Result[bool] = Field(
        False, description="also show the product's cutout: one more picture a request, before the one to judge"
    )
    exemplars: Content[str | None] = Field(
        None,
        description="c_R, shown before every sample: Parquet file with name, image, score and maybe reason, or folder "
        "with pictures and exemplars.csv (file,name,score,reason)",
    )
    reasoned: Result[bool] = Field(False, description="generate a reason before the score, which is slower")
    max_reason_tokens: Result[int] = Field(
        128, ge=8, description="longest reason or critique, tokens; a longer one is cut"
    )
    max_summary_tokens: Result[int] = Field(160, ge=8, description="longest feedback text, tokens")
    max_name_chars: Result[int] = Field(300, ge=1, description="product names are cut after this many characters")
    summary_examples: Adjustable[int] = Field(
        24, ge=0, description="critiques quoted in the summary prompt, rows: each flaw's in turn"
    )
    cache: Runtime[str | None] = Field(
        None, description="folder or URI of cached answers, shared by runs (none: next to the output)"
    )
    min_pixels: Result[int | None] = Field(
        None,
        ge=784,
        description="area to which the judge's processor scales smaller pictures up, pixels: see max_pixels",
    )
    max_pixels: Result[int | None] = Field(
        None,
        ge=784,
        description="area to which the judge's processor scales larger pictures down, pixels: fewer tokens a picture "
        "(none: the model's own); Qwen-VL has such limits, LLaVA has none",
    )
    dtype: Result[Literal["auto", "float32", "bfloat16", "float16"]] = Field(
        "auto", description="weights and arithmetic"
    )
    quantization: Result[str | None] = Field(
        None, description="vLLM's name of a quantisation, e.g. awq, fp8 (none: that of the model's folder)"
    )
    max_model_len: Adjustable[int] = Field(4096, ge=64, description="longest prompt plus reply, tokens")
    enable_prefix_caching: Adjustable[bool] = Field(
        True, description="compute the shared prefix (rubric, feedback, exemplars) once"
    )
    enforce_eager: Adjustable[bool] = Field(
        False, description="no CUDA graphs and no compilation: faster start, slower inference"
    )
    tensor_parallel_size: Adjustable[int] = Field(1, ge=1, description="GPUs per engine")
    gpu_memory_utilization: Runtime[float] = Field(
        0.9, gt=0, le=1, description="fraction of a GPU's memory that an engine takes"
    )
    kv_cache_gb: Runtime[int | None] = Field(
        None,
        ge=1,
        description="key-value cache of an engine on a CPU (none: 1) or a fraction of a GPU, GB; on a whole GPU it is "
        "what gpu_memory_utilization leaves",
    )
    replicas: Runtime[int] = Field(1, ge=1, description="engines; the minimum with judge.max_replicas")
    max_replicas: Runtime[int | None] = Field(
        None, ge=1, description="largest number of engines when autoscaling (none: judge.replicas)"
    )
    num_gpus: Adjustable[float] = Field(1, ge=0, description="GPUs per engine; 0 runs it on the CPU")
    num_cpus: Runtime[float] = Field(1, ge=0, description="CPUs per engine")
    max_num_seqs: Adjustable[int] = Field(64, ge=1, description="sequences that an engine processes at once")
    keep_warm: Runtime[bool] = Field(
        False, description="keep engines between the steps of a run; otherwise free their GPUs for training"
    )
    hosted: HostedConfig = HostedConfig()
    cascade: CascadeConfig = CascadeConfig()

    @field_validator("flaws")
    @classmethod
    def _countable(cls, flaws: tuple[str, ...]) -> tuple[str, ...]:
        mistake = find_mistake(flaws)
        if mistake:
            raise PydanticCustomError("flaws", "{why}", {"why": mistake})
        return flaws

    @model_validator(mode="after")
    def _bounds(self) -> JudgeConfig:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"judge.max_replicas={self.max_replicas} is less than judge.replicas={self.replicas}; raise it"
            )
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(
                f"judge.min_pixels={self.min_pixels} is more than judge.max_pixels={self.max_pixels}; lower it"
            )
        if self.hosted.url and (self.min_pixels or self.max_pixels):
            raise ValueError(
                "judge.min_pixels and judge.max_pixels are of own engines; judge.hosted.url scales pictures by itself: "
                "leave them out"
            )
        return self


class SecondJudgeConfig(JudgeConfig):
    """The settings of a held-out judge, complete; see HeldOutJudgeConfig."""

    group: ClassVar[str] = "evaluate.judge"


class HeldOutJudgeConfig(Settings):
    """A held-out judge: another model, which never selects and is only asked about painted pictures.

    What is left out here is taken from the group judge; what belongs to a model, from the model itself.
    """

    model: Content[str | None] = Field(
        None, description="folder or id of another vision-language model than judge.model (none: no held-out judge)"
    )
    prompts: Content[str | None] = Field(None, description="folder of its prompts (none: those of judge.prompts)")
    flaws: Result[tuple[str, ...] | None] = Field(
        None, description="what its critique may name (none: judge.flaws, so that rates can be compared)"
    )
    dtype: Result[Literal["auto", "float32", "bfloat16", "float16"] | None] = Field(
        None, description="weights and arithmetic (none: judge.dtype)"
    )
    quantization: Result[str | None] = Field(
        None, description="vLLM's name of a quantisation (none: that of the model's folder)"
    )
    max_pixels: Result[int | None] = Field(
        None, ge=784, description="as judge.max_pixels, of its own processor (none: the model's own)"
    )
    max_model_len: Adjustable[int | None] = Field(
        None, ge=64, description="longest prompt plus reply, tokens (none: judge.max_model_len)"
    )
    tensor_parallel_size: Adjustable[int | None] = Field(
        None, ge=1, description="GPUs per engine (none: judge.tensor_parallel_size)"
    )
    gpu_memory_utilization: Runtime[float | None] = Field(
        None, gt=0, le=1, description="fraction of a GPU's memory (none: judge.gpu_memory_utilization)"
    )
    kv_cache_gb: Runtime[int | None] = Field(
        None, ge=1, description="key-value cache of an engine, GB (none: judge.kv_cache_gb)"
    )
    replicas: Runtime[int | None] = Field(None, ge=1, description="engines (none: judge.replicas)")
    num_gpus: Adjustable[float | None] = Field(
        None, ge=0, description="GPUs per engine (none: judge.num_gpus); 0 runs it on the CPU"
    )
    num_cpus: Runtime[float | None] = Field(None, ge=0, description="CPUs per engine (none: judge.num_cpus)")
    hosted: HostedConfig = HostedConfig()

    @field_validator("flaws")
    @classmethod
    def _countable(cls, flaws: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if flaws is not None and (mistake := find_mistake(flaws)):
            raise PydanticCustomError("flaws", "{why}", {"why": mistake})
        return flaws

    @model_validator(mode="after")
    def _pixels_of_own_engines(self) -> HeldOutJudgeConfig:
        if self.hosted.url and self.max_pixels:
            raise ValueError(
                "evaluate.judge.max_pixels is of own engines; evaluate.judge.hosted.url scales pictures by itself: "
                "leave it out"
            )
        if self.hosted.url and not self.model:
            raise ValueError("evaluate.judge.hosted.url needs evaluate.judge.model: the endpoint's name of the model")
        return self

    def over(self, judge: JudgeConfig) -> SecondJudgeConfig:
        """The held-out judge's settings: these, and the selecting judge's where one is left out.

        It is shown no exemplars, has no cascade, and its engines stay up only while it is asked. It has a model.
        """
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        of_the_model = {"quantization": self.quantization, "min_pixels": None, "max_pixels": self.max_pixels}
        never = {"exemplars": None, "cascade": CascadeConfig(), "keep_warm": False, "max_replicas": None}
        inherited = {name: getattr(judge, name) for name in JudgeConfig.model_fields}
        return SecondJudgeConfig(**{**inherited, **own, **of_the_model, **never})


class CalibrationConfig(Settings):
    """Checks of the judge, once per run before its scores are used."""

    rows: Result[int] = Field(0, ge=0, description="rows of the checks without gold scores; 0: no checks")
    gold: Content[str | None] = Field(None, description="Parquet or CSV file of people's scores: id and score, 1 to 5")
    orders: Result[int] = Field(3, ge=2, description="orders of the exemplars to compare, if there are exemplars")
    coverage: Result[float] = Field(
        0.9, gt=0.5, lt=1, description="of conformal intervals: share of people's scores that lie within, with gold"
    )
