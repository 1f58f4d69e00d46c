"""Scene fit of generated pictures: the evaluator CLIP recognises the scene; the world knows the right one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.data.images import background_of
from p2i_ray.mini.captions import scene_prompts
from p2i_ray.mini.world import RIGHT_SCENE

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPProcessor


def scene_of(images: np.ndarray, masks: np.ndarray, clip_folder: str | Path) -> list[str]:
    """Recognise the scene of each background, the product greyed out: one of SCENES, or PLAIN.

    Args:
        images: uint8 (B, 64, 64, 3).
        masks: uint8 (B, 64, 64), 255 where the product is.
        clip_folder: a CLIP trained on scene captions, in practice weights/evaluator_clip.
    """
    prompts = scene_prompts()
    texts = text_features(clip_folder, [text for several in prompts.values() for text in several])
    scenes = texts.reshape(len(prompts), -1, texts.shape[1]).mean(1)  # (scenes, 64), the mean over the templates
    scenes /= np.linalg.norm(scenes, axis=1, keepdims=True)
    likeness = image_features(clip_folder, background_of(images, masks)) @ scenes.T  # (B, scenes)
    return [list(prompts)[i] for i in likeness.argmax(1)]


def scene_fit(images: np.ndarray, masks: np.ndarray, categories: Sequence[str], clip_folder: str | Path) -> float:
    """The fraction of pictures, 0..1, whose scene is right for their category. Shapes as in `scene_of`."""
    found = scene_of(images, masks, clip_folder)
    return float(np.mean([scene == RIGHT_SCENE[category] for scene, category in zip(found, categories, strict=True)]))


def image_features(clip_folder: str | Path, images: np.ndarray) -> np.ndarray:
    """Unit-length features (B, 64) of uint8 pictures (B, 64, 64, 3)."""
    import torch

    clip, processor = _load(Path(clip_folder))
    found = []
    with torch.no_grad():
        for part in np.array_split(images, -(-len(images) // 128)):
            pixels = processor.image_processor(list(part), return_tensors="pt").pixel_values
            found.append(clip.visual_projection(clip.vision_model(pixels).pooler_output))
        return torch.nn.functional.normalize(torch.cat(found), dim=-1).numpy()


def text_features(clip_folder: str | Path, texts: list[str]) -> np.ndarray:
    """Unit-length features (B, 64) of texts."""
    import torch

    clip, processor = _load(Path(clip_folder))
    with torch.no_grad():
        tokens = processor.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        features = clip.text_projection(clip.text_model(tokens).pooler_output)
        return torch.nn.functional.normalize(features, dim=-1).numpy()


@lru_cache(maxsize=4)
def _load(folder: Path) -> tuple[CLIPModel, CLIPProcessor]:
    import torch
    from transformers import CLIPModel, CLIPProcessor

    clip = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    clip.train(False)
    return clip, CLIPProcessor.from_pretrained(folder)
