"""Scene fit: the share of generated backgrounds whose scene, as CLIP sees it, suits the product's category.

CLIP (evaluate.clip) recognises the scene of each background, product removed, zero-shot: that of evaluate.scenes whose
text is nearest. Several texts of a scene count as the mean of their normalised features (Radford et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from p2i_ray.evaluate.metrics.batch import Batch, Features, as_features, normalised
from p2i_ray.evaluate.metrics.scenes import Scenes, check_categories
from p2i_ray.evaluate.metrics.text_image import TextImageModel


def by(model: TextImageModel, scenes: Scenes, location: str) -> Callable[[Batch], NDArray[np.float64]]:
    """A function that gives each of B rows 1 where its scene suits its category, otherwise 0; (B,).

    Args:
        model: the CLIP of the batches, with its text encoder.
        scenes: and what suits.
        location: of their file, for messages.
    """
    texts = features_of(model, scenes.scenes)

    def values(batch: Batch) -> NDArray[np.float64]:
        check_categories(scenes, location, {row.category for row in batch.rows})
        found = recognised(batch.background_clip, texts)
        pairs = zip(found, batch.rows, strict=True)
        return np.array([float(name in scenes.suits[row.category]) for name, row in pairs])

    return values


def features_of(model: TextImageModel, scenes: Mapping[str, Sequence[str]]) -> dict[str, Features]:
    """The direction (D,) of each scene, of length 1."""
    means = {name: normalised(as_features(model.embed_text(texts))).mean(0) for name, texts in scenes.items()}
    return {name: mean / np.linalg.norm(mean) for name, mean in means.items()}


def recognised(backgrounds: Features, scenes: Mapping[str, Features]) -> list[str]:
    """The name of the scene nearest to each background.

    Args:
        backgrounds: features (B, D), not necessarily normalised.
        scenes: as `features_of` has them; of equally near ones the first counts.
    """
    names = list(scenes)
    return [names[place] for place in (backgrounds @ np.stack([*scenes.values()]).T).argmax(1)]
