"""Settings of the jobs that paint a split: by which method, and in whose style."""

from __future__ import annotations

from pydantic import Field

from p2i_ray.config.baseline import BaselineConfig, Method
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.job import Config


class PaintingJobConfig(Config):
    """Settings of such a job beside those of every job and its own."""

    method: Method = Field(
        "product2img", description="how: by this project's model, by a baseline, or given: it is painted"
    )
    baseline: BaselineConfig = BaselineConfig()
    generators: GeneratorsConfig = GeneratorsConfig()
    reference: str | None = Field(
        None,
        description="picture in whose style all rows are painted, or `self`: each row's own picture (none: each row's, "
        "in the column reference)",
    )
    reference_cutout: str | None = Field(
        None, description="RGBA cutout of the reference's own product (none: the reference shows none)"
    )
