"""What a forecast of a whole run takes for granted."""

from __future__ import annotations

from pydantic import Field

from p2i_ray.config.diffusion import RateConfig


class RunPlanConfig(RateConfig):
    """What `jobs/idr.py --plan` takes for granted. Rates are estimates for an A100: measure, and put in your own."""

    rows: int = Field(24394, ge=1, description="rows of the training split, where data isn't given (paper's EPBD)")
    dev_rows: int = Field(200, ge=1, description="rows of idr.dev_split, where data isn't given (paper's EPBD)")
    kept_fraction: float = Field(1, gt=0, le=1, description="share of its rows that a selection keeps (1: the dearest)")
    scored_per_s: float = Field(15, gt=0, description="rows scored a second and engine: a 7B model, one token a row")
    criticised_per_s: float = Field(5, gt=0, description="rows criticised a second and engine: a sentence each")
    encoded_per_s: float = Field(50, gt=0, description="rows encoded a second and GPU: three pictures each")
    painted_per_s: float = Field(2.5, gt=0, description="pictures painted a second and GPU, 30 steps with guidance")
    measured_per_s: float | None = Field(
        None, gt=0, description="products measured a second by Inception and CLIP (none: 50 on a GPU, 5 on a CPU)"
    )
    engine_start_s: float = Field(180, ge=0, description="until an engine answers, its model on a local disk, s")
    worker_start_s: float = Field(60, ge=0, description="until trainers, painters or encoders work, seconds")
    checkpoint_s: float = Field(8, ge=0, description="that a checkpoint and its sample pictures hold training up, s")
    node_start_s: float = Field(
        600, ge=0, description="until a rented node has come, seconds; paid for, and not idle time"
    )
