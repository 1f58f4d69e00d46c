"""Every setting, typed, with its unit and, where it has one, its place in the paper.

Jobs add their own keys by subclassing `Config`; see jobs/.
"""

from p2i_ray.config.base import Adjustable, Content, Effect, Result, Runtime, Settings
from p2i_ray.config.diffusion import (
    DiffusionConfig,
    FeatureConfig,
    GenerateConfig,
    PlanConfig,
    TrackingConfig,
    TrainConfig,
)
from p2i_ray.config.hosted import HostedConfig
from p2i_ray.config.job import Config, EvaluateConfig, ImageConfig, LoopConfig, RayConfig
from p2i_ray.config.judge import (
    CalibrationConfig,
    CascadeConfig,
    HeldOutJudgeConfig,
    JudgeConfig,
    SecondJudgeConfig,
)
from p2i_ray.config.loading import PRESETS, AnyConfig, ChangedSetting, changed_settings, describe, load

__all__ = [
    "PRESETS",
    "Adjustable",
    "AnyConfig",
    "CalibrationConfig",
    "CascadeConfig",
    "ChangedSetting",
    "Config",
    "Content",
    "DiffusionConfig",
    "Effect",
    "EvaluateConfig",
    "FeatureConfig",
    "GenerateConfig",
    "HeldOutJudgeConfig",
    "HostedConfig",
    "ImageConfig",
    "JudgeConfig",
    "LoopConfig",
    "PlanConfig",
    "RayConfig",
    "Result",
    "Runtime",
    "SecondJudgeConfig",
    "Settings",
    "TrackingConfig",
    "TrainConfig",
    "changed_settings",
    "describe",
    "load",
]
