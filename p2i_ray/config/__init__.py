"""Every setting, typed, with its unit and, where it has one, its place in the paper.

Jobs add their own keys by subclassing `Config`; see jobs/.
"""

from p2i_ray.config.base import Settings
from p2i_ray.config.job import Config, EvaluateConfig, ImageConfig, LoopConfig, RayConfig
from p2i_ray.config.judge import CalibrationConfig, CascadeConfig, HostedConfig, JudgeConfig
from p2i_ray.config.loading import PRESETS, AnyConfig, describe, differences, load
from p2i_ray.config.painter import (
    FeatureConfig,
    GenerateConfig,
    PainterConfig,
    PlanConfig,
    TrackingConfig,
    TrainConfig,
)

__all__ = [
    "PRESETS",
    "AnyConfig",
    "CalibrationConfig",
    "CascadeConfig",
    "Config",
    "EvaluateConfig",
    "FeatureConfig",
    "GenerateConfig",
    "HostedConfig",
    "ImageConfig",
    "JudgeConfig",
    "LoopConfig",
    "PainterConfig",
    "PlanConfig",
    "RayConfig",
    "Settings",
    "TrackingConfig",
    "TrainConfig",
    "describe",
    "differences",
    "load",
]
