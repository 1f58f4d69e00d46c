"""Scene fit of pictures in memory, by the evaluation's own code; the world knows the right scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.data.images import background_of
from p2i_ray.evaluate.metrics import scene_fit as metric
from p2i_ray.evaluate.metrics.batch import as_features, normalised
from p2i_ray.mini.captions import scene_prompts
from p2i_ray.mini.world import RIGHT_SCENE

if TYPE_CHECKING:
    from p2i_ray.evaluate.metrics.text_image import ClipPair

BATCH = 128


def scene_of(images: np.ndarray, masks: np.ndarray, clip_folder: str | Path) -> list[str]:
    """Recognise the scene of each background, the product greyed out: one of SCENES, or PLAIN.

    Args:
        images: uint8 (B, 64, 64, 3).
        masks: uint8 (B, 64, 64), 255 where the product is.
        clip_folder: a CLIP trained on scene captions, in practice weights/evaluator_clip.
    """
    scenes = metric.features_of(_load(Path(clip_folder)), scene_prompts())
    return metric.recognised(image_features(clip_folder, background_of(images, masks)), scenes)


def scene_fit(images: np.ndarray, masks: np.ndarray, categories: Sequence[str], clip_folder: str | Path) -> float:
    """The fraction of pictures, 0..1, whose scene is right for their category. Shapes as in `scene_of`."""
    found = scene_of(images, masks, clip_folder)
    return float(np.mean([scene == RIGHT_SCENE[category] for scene, category in zip(found, categories, strict=True)]))


def image_features(clip_folder: str | Path, images: np.ndarray) -> np.ndarray:
    """Unit-length features (B, 64) of uint8 pictures (B, 64, 64, 3)."""
    clip = _load(Path(clip_folder))
    parts = np.array_split(images, -(-len(images) // BATCH))
    return normalised(np.concatenate([as_features(clip.embed(list(part))) for part in parts]))


def text_features(clip_folder: str | Path, texts: list[str]) -> np.ndarray:
    """Unit-length features (B, 64) of texts."""
    return normalised(as_features(_load(Path(clip_folder)).embed_text(texts)))


@lru_cache(maxsize=4)
def _load(folder: Path) -> ClipPair:
    from p2i_ray.evaluate.metrics.text_image import ClipPair

    return ClipPair(str(folder))
