"""The assumptions of forecasts of a judging and of a whole run."""

from __future__ import annotations

from pydantic import Field

from p2i_ray.config.diffusion import PriceConfig, RateConfig


class JudgingPlanConfig(PriceConfig):
    """The assumptions of `jobs/score.py --plan`. Rates are estimates for an A100: replace them by measured ones."""

    rows: int = Field(24394, ge=1, description="rows of the training split, where data isn't given (paper's EPBD)")
    scored_per_s: float = Field(15, gt=0, description="rows scored per second and engine: 7B model, one token each")
    reasoned_per_s: float = Field(
        5, gt=0, description="the same with judge.reasoned: a reason of one sentence before the score"
    )
    engine_start_s: float = Field(180, ge=0, description="start of an engine with its model on a local disk, seconds")
    node_start_s: float = Field(
        600, ge=0, description="start of a rented node, seconds; paid for, and not counted as idle"
    )


class RunPlanConfig(JudgingPlanConfig, RateConfig):
    """The assumptions of `jobs/idr.py --plan`."""

    dev_rows: int = Field(200, ge=1, description="rows of idr.dev_split, where data isn't given (paper's EPBD)")
    kept_fraction: float = Field(1, gt=0, le=1, description="fraction of rows that a selection keeps (1: costs most)")
    criticised_per_s: float = Field(5, gt=0, description="rows criticised per second and engine: one sentence each")
    encoded_per_s: float = Field(50, gt=0, description="rows encoded per second and GPU: three images each")
    painted_per_s: float = Field(2.5, gt=0, description="images sampled per second and GPU, 30 steps with guidance")
    measured_per_s: float | None = Field(
        None, gt=0, description="products measured per second by Inception and CLIP (none: 50 on a GPU, 5 on a CPU)"
    )
    worker_start_s: float = Field(60, ge=0, description="start of trainers, samplers or encoders, seconds")
    checkpoint_s: float = Field(8, ge=0, description="training pause of a checkpoint with its sample images, seconds")
