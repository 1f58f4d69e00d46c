"""The settings that all jobs share, and the groups that belong to no other module."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from p2i_ray.config import shapes
from p2i_ray.config.base import Adjustable, Content, Reserving, Result, Runtime, Settings
from p2i_ray.config.diffusion import DiffusionConfig, FeatureConfig, GenerateConfig, TrainConfig
from p2i_ray.config.judge import CalibrationConfig, HeldOutJudgeConfig, JudgeConfig, SecondJudgeConfig
from p2i_ray.config.shapes import Size


class RayConfig(Settings):
    """The cluster. These settings change where a job runs, never its result."""

    address: Runtime[str | None] = Field(
        None, description="cluster to join; none: RAY_ADDRESS, or a local one is started"
    )
    local_cpus: Runtime[int | None] = Field(
        None, ge=1, description="logical CPUs of a local cluster (none: the machine's)"
    )
    object_store_mb: Runtime[int | None] = Field(
        None, ge=80, description="object store of a local cluster, MB (none: Ray's choice)"
    )
    wait_for_nodes_s: Runtime[float | None] = Field(
        1800, gt=0, description="longest wait of a step for the nodes it needs, seconds (none: no limit)"
    )


class ImageConfig(Settings):
    """Limits of accepted images. Rows beyond them are set aside with a reason."""

    group: ClassVar[str] = "image."  # where these settings are found, for reasons that name one
    resolution: Result[int] = Field(
        512, ge=32, multiple_of=8, description="side of the square training image, pixels (paper: 512)"
    )
    aspect_ratios: Result[tuple[str, ...]] = Field(
        (shapes.SQUARE,),
        min_length=1,
        description="shapes of training images, width:height, of about the square's area; the nearest is taken",
    )
    size_step: Result[int] = Field(
        64, ge=8, multiple_of=8, description="sides of images that are not square are multiples of it, pixels"
    )
    max_bytes: Result[int] = Field(30_000_000, gt=0, description="largest encoded image, bytes")
    max_pixels: Result[int] = Field(
        50_000_000, gt=0, le=178_956_970, description="largest decoded image, pixels; Pillow opens no larger ones"
    )

    @model_validator(mode="after")
    def _sizes_differ(self) -> ImageConfig:
        if len(set(self.sizes)) < len(self.aspect_ratios):
            raise ValueError(
                f"image.aspect_ratios={','.join(self.aspect_ratios)} are {', '.join(map(str, self.sizes))} at "
                f"image.resolution={self.resolution} and image.size_step={self.size_step}; leave out what is twice "
                "there, or lower image.size_step"
            )
        return self

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The size of each aspect ratio."""
        return tuple(shapes.size_for(ratio, self.resolution, self.size_step) for ratio in self.aspect_ratios)

    @property
    def longest(self) -> int:
        """The longest side of these sizes, pixels."""
        return max(max(size) for size in self.sizes)

    def nearest(self, width: int, height: int) -> list[Size]:
        """The sizes, those first whose shape is nearest to a picture's."""
        return sorted(self.sizes, key=lambda size: abs(math.log(size.aspect * height / width)))

    def size_of(self, width: int, height: int) -> Size | None:
        """The size that a picture has the shape of; none: it has none of these shapes."""
        nearest = self.nearest(width, height)[0]
        slack = max(shapes.ALIKE, 1 / min(width, height))  # a pixel of rounding
        square = nearest.width == nearest.height  # which a picture is to the pixel
        alike = width == height if square else abs(nearest.aspect * height / width - 1) <= slack
        return nearest if alike else None


class EvaluateConfig(Reserving):
    """The evaluation. Its CLIP should not be the diffusion model's."""

    clip: Content[str] = Field(description="transformers folder of the CLIP that measures")
    fid_features: Result[Literal["clip", "inception"]] = Field(
        "inception", description="features of the Frechet distance"
    )
    dinov2: Runtime[str | None] = Field(
        None, description="fd_dinov2: transformers folder of a DINOv2, such as facebook/dinov2-large"
    )
    text: Runtime[str] = Field(
        "{name}", description="pickscore, hpsv2: the text that pictures are scored with; {name} is the product's"
    )
    pickscore: Runtime[str | None] = Field(
        None, description="pickscore: transformers folder of its CLIP, with tokenizer and preprocessor"
    )
    hpsv2: Runtime[str | None] = Field(
        None, description="hpsv2: open_clip's weights (HPS_v2.1), a file, or a transformers folder of the same"
    )
    hpsv2_sha256: Runtime[str | None] = Field(None, description="hpsv2: checksum of the file; a pickled one needs it")
    aesthetics: Runtime[str | None] = Field(None, description="aesthetics: file of the head's weights")
    aesthetics_sha256: Runtime[str | None] = Field(
        None, description="aesthetics: checksum of the file; a pickled one needs it"
    )
    aesthetics_clip: Runtime[str | None] = Field(
        None, description="aesthetics: transformers folder of CLIP ViT-L/14, which the head takes features of"
    )
    scenes: Runtime[str | None] = Field(
        None, description="scene_fit: YAML file of scenes and of the categories that they suit"
    )
    cutter: Runtime[str | None] = Field(
        None, description="product_expansion: ONNX file of the cutter that looks for the product (none: GrabCut)"
    )
    cutter_family: Runtime[Literal["isnet", "u2net", "birefnet", "rmbg-1.4", "rmbg-2.0"]] = Field(
        "isnet", description="product_expansion: what the cutter's input and output are"
    )
    fill: Result[Literal["grey", "white", "black"]] = Field(
        "grey",
        description="colour around the cutout c, and in place of the product in B, where CLIP sees one of them alone",
    )
    batch_size: Adjustable[int] = Field(32, ge=1, description="images measured per batch")
    num_gpus: Adjustable[float] = Field(0, ge=0, description="GPUs the measuring task reserves")
    num_cpus: Runtime[float] = Field(1, ge=0, description="CPUs the measuring task reserves")
    judge: HeldOutJudgeConfig = HeldOutJudgeConfig()


class LoopConfig(Settings):
    """Iterative Data Refinement, Algorithm 1."""

    rounds: Adjustable[int] = Field(3, ge=1, description="R, rounds (paper: 3)")
    gamma: Adjustable[float] = Field(4, ge=1, le=5, description="lowest score that is kept (paper: 4)")
    threshold_on: Result[Literal["score", "expected_score"]] = Field(
        "score", description="which score gamma is compared with"
    )
    keep_fraction: Adjustable[float | None] = Field(
        None,
        gt=0,
        le=1,
        description="fraction of rows kept, the highest expected scores (none: gamma decides)",
    )
    keep_rows: Adjustable[tuple[int, ...] | None] = Field(
        None,
        min_length=1,
        description="number of rows that each round keeps, the highest expected scores (none: keep_fraction or gamma)",
    )
    given_scores: Content[str | None] = Field(
        None,
        description="Parquet or CSV file of id and score, 1..5, that takes the judge's place: a control without one",
    )
    given_feedback: Result[str | None] = Field(
        None, min_length=1, description="text that takes the place of every round's feedback: a placebo to compare with"
    )
    exemplars: Result[int] = Field(
        0,
        ge=0,
        le=8,
        description="c_R of later rounds: number of the last round's surest and most doubtful rows",
    )
    steps: Adjustable[tuple[Annotated[int, Field(ge=1)], ...]] = Field(
        (3000, 1000, 1000), description="training steps of each round (paper: 3000, 1000, 1000)"
    )
    inspect: Adjustable[int] = Field(
        256, ge=0, description="rows per round that are also criticised, and scored without feedback, for the report"
    )
    select: Result[bool] = Field(
        True, description="false: no judge; every round trains on all rows (the ablation without IDR)"
    )
    feedback: Result[bool] = Field(True, description="false: the judge scores every round without feedback")
    overlap: Runtime[bool] = Field(
        True, description="start later steps' work beside the running step, where the cluster has room for both"
    )
    judge_gpu_fraction: Runtime[float | None] = Field(
        None,
        gt=0.5,
        lt=1,
        description="fraction of each of its GPUs that the judge keeps for the whole run, while encoders, trainers and "
        "samplers take the rest; every GPU that they may use needs an engine (none: they take turns on whole GPUs)",
    )
    dev_split: Result[str] = Field("validation", description="D_dev, sampled and criticised after every round")
    baseline: Adjustable[bool] = Field(True, description="also sample and measure D_dev before training, as round 0")
    validate_rounds: Adjustable[bool] = Field(
        True,
        description="false: D_dev is sampled and measured only where its critiques sharpen a later selection, for "
        "controls",
    )

    @property
    def judged(self) -> bool:
        """Whether the judge is asked."""
        return self.select and self.given_scores is None

    def validates(self, number: int) -> bool:
        """Whether D_dev is sampled after a round."""
        return self.validate_rounds or (self.judged and self.feedback and number < self.rounds)

    @property
    def ranks(self) -> bool:
        """Whether rows are kept by their rank, not by gamma."""
        return self.keep_fraction is not None or self.keep_rows is not None


class HubConfig(Settings):
    """Sources of the folders that other settings name, for `make models`: OWNER/NAME or OWNER/NAME@COMMIT."""

    judge_model: Runtime[str | None] = Field(None, description="repository of judge.model on the Hugging Face hub")
    diffusion_base: Runtime[str | None] = Field(None, description="repository of diffusion.base")
    diffusion_clip: Runtime[str | None] = Field(None, description="repository of diffusion.clip")
    evaluate_clip: Runtime[str | None] = Field(None, description="repository of evaluate.clip")


class Config(Settings):
    """The settings that every job shares."""

    seed: Result[int] = Field(
        0, ge=0, description="seed of all random numbers; same seed, same machine: same kept ids, same weights"
    )
    prepare: Runtime[str | None] = Field(
        None, description="module that makes prepare_data (`python -m MODULE --out DATA`) if it is not there"
    )
    prepare_data: Runtime[str | None] = Field(
        None, description="the one folder that prepare makes; a data folder elsewhere must be there"
    )
    ray: RayConfig = RayConfig()
    image: ImageConfig = ImageConfig()
    judge: JudgeConfig
    calibration: CalibrationConfig = CalibrationConfig()
    diffusion: DiffusionConfig
    features: FeatureConfig = FeatureConfig()
    train: TrainConfig = TrainConfig()
    generate: GenerateConfig = GenerateConfig()
    evaluate: EvaluateConfig
    idr: LoopConfig = LoopConfig()
    hub: HubConfig = HubConfig()

    _source: str = PrivateAttr("")

    @property
    def held_out_judge(self) -> SecondJudgeConfig | None:
        """The complete settings of evaluate.judge; none: there is no held-out judge."""
        return self.evaluate.judge.over(self.judge) if self.evaluate.judge.model else None

    @property
    def source_of_settings(self) -> str:
        """The preset, or file, that the settings were loaded from; empty: none."""
        return self._source

    def remember_source(self, source: str) -> None:
        """Set `source_of_settings`."""
        self._source = source
