"""The sampler with settings of a baseline: what baselines that denoise have in common."""

from __future__ import annotations

from p2i_ray.config import DiffusionConfig
from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions


class BaselineSampler(Sampler):
    """A sampler whose pipeline, prompts or further arguments come from the settings of baselines."""

    def __init__(
        self, location: str, diffusion: DiffusionConfig, options: SamplerOptions, *, settings: BaselineConfig
    ) -> None:
        """As Sampler; what `settings` name has been checked."""
        self._settings = settings
        super().__init__(location, diffusion, options)
