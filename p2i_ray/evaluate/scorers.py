"""Load the models of metrics that score single pictures, and check beforehand that their files are there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from p2i_ray.config import EvaluateConfig
from p2i_ray.encoders import processor_files, tokenizer_files, weight_files
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import scenes
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from p2i_ray.evaluate.metrics.batch import Batch
    from p2i_ray.evaluate.metrics.text_image import TextImageModel


def check(settings: EvaluateConfig, metrics: Collection[str]) -> None:
    """Check that the files of models are there, from names and headers alone.

    Args:
        settings: of the evaluation; paths are absolute, and those that the metrics need are set.
        metrics: names.

    Raises:
        UserError: a file isn't there, or a setting is missing.
    """
    if "fd_dinov2" in metrics:  # modules with torch and transformers, seconds to load, where they are asked for alone
        from p2i_ray.evaluate.metrics import dinov2

        dinov2.check(str(settings.dinov2))
    if {"pickscore", "hpsv2"} & set(metrics):
        from p2i_ray.evaluate.metrics import text_image

        text_image.check(settings.text)
    if "scene_fit" in metrics:
        _check_clip(settings.clip, "evaluate.clip", text=True)
        scenes.read(str(settings.scenes))
    if "pickscore" in metrics:
        _check_clip(str(settings.pickscore), "evaluate.pickscore", text=True)
    if "hpsv2" in metrics:
        if locations.kind(str(settings.hpsv2)) == "directory":
            _check_clip(str(settings.hpsv2), "evaluate.hpsv2", text=True)
        else:
            from p2i_ray.evaluate.metrics import weights_file

            weights_file.check(str(settings.hpsv2), settings.hpsv2_sha256, "evaluate.hpsv2")
    if "aesthetics" in metrics:
        if settings.aesthetics_clip is None:
            raise UserError(
                "aesthetics needs a model: set evaluate.aesthetics_clip, or leave aesthetics out of the metrics"
            )
        from p2i_ray.evaluate.metrics import weights_file

        _check_clip(settings.aesthetics_clip, "evaluate.aesthetics_clip")
        weights_file.check(str(settings.aesthetics), settings.aesthetics_sha256, "evaluate.aesthetics")


def pickscore(settings: EvaluateConfig, device: str) -> TextImageModel:
    """PickScore's CLIP.

    Raises:
        UserError: it can't be loaded.
    """
    from p2i_ray.evaluate.metrics.text_image import ClipPair

    return ClipPair(str(settings.pickscore), setting="evaluate.pickscore").to(device)


def hpsv2(settings: EvaluateConfig, device: str) -> TextImageModel:
    """HPSv2.1's CLIP.

    Raises:
        UserError: it can't be loaded.
    """
    from p2i_ray.evaluate.metrics import weights_file
    from p2i_ray.evaluate.metrics.open_clip_pair import OpenClipPair
    from p2i_ray.evaluate.metrics.text_image import ClipPair

    location = str(settings.hpsv2)
    if locations.kind(location) == "directory":
        return ClipPair(location, setting="evaluate.hpsv2").to(device)
    weights = weights_file.read(location, settings.hpsv2_sha256, "evaluate.hpsv2")
    return OpenClipPair(weights, f"evaluate.hpsv2={location}").to(device)


def aesthetics(settings: EvaluateConfig, device: str) -> Callable[[Batch], NDArray[np.float64]]:
    """A function that gives LAION's aesthetic score of each picture of a batch.

    Raises:
        UserError: a model can't be loaded, or head and CLIP don't fit together.
    """
    from p2i_ray.evaluate.metrics import weights_file
    from p2i_ray.evaluate.metrics.aesthetics import Head
    from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder

    tensors = weights_file.read(str(settings.aesthetics), settings.aesthetics_sha256, "evaluate.aesthetics")
    encoder = ClipEncoder(str(settings.aesthetics_clip), setting="evaluate.aesthetics_clip").to(device)
    head = Head(tensors, f"evaluate.aesthetics={settings.aesthetics}", encoder.num_features)
    return head.scores(encoder.embed)


def scene_fit(settings: EvaluateConfig) -> Callable[[Batch], NDArray[np.float64]]:
    """A function that says of each row of a batch whether its scene suits its category.

    Raises:
        UserError: CLIP can't be loaded, or the file of scenes can't be read.
    """
    from p2i_ray.evaluate.metrics import scene_fit
    from p2i_ray.evaluate.metrics.text_image import ClipPair

    location = str(settings.scenes)
    return scene_fit.by(ClipPair(settings.clip, setting="evaluate.clip"), scenes.read(location), location)


def _check_clip(folder: str, setting: str, text: bool = False) -> None:
    if not locations.exists(locations.join(folder, "config.json")):
        raise UserError(f"{setting}={folder} is no transformers CLIP folder (no config.json); check the path")
    weight_files.find(folder, weight_files.TRANSFORMERS, setting=setting).tensors()
    processor_files.check(folder, setting=setting)
    if text:
        tokenizer_files.check(folder)
