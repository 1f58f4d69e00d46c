"""LAION's aesthetic score: a linear model of CLIP ViT-L/14's normalised image features, trained on people's ratings.

About 1..10, higher is better; 5 is an average photo. The head is a single layer, or the published chain of linear
layers without activations between them (sac+logos+ava1-l14-linearMSE).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.batch import Batch, Embed, normalised

LAYER = re.compile(r"(?:.*\.)?(\d+)\.weight")


class Head:
    """Linear layers one after another, computed as the one that they amount to.

    Args:
        tensors: `weight` and `bias`, or those of several layers by number (`layers.0.weight` ...).
        source: where they are from, for messages.
        features: number of the encoder's features.

    Raises:
        UserError: they are no such layers, or take another number of features.
    """

    def __init__(self, tensors: Mapping[str, Tensor], source: str, features: int) -> None:
        weight, bias = np.eye(features), np.zeros(features)
        for name in _names(tensors, source):
            own = tensors[f"{name}weight"].double().numpy()
            if own.ndim != 2 or own.shape[1] != len(weight):
                raise UserError(
                    f"{source}: {name}weight is {list(own.shape)}, after {len(weight)} features; the head belongs to "
                    "another CLIP (LAION's to ViT-L/14), or is no chain of linear layers"
                )
            weight, bias = own @ weight, own @ bias + tensors[f"{name}bias"].double().numpy()
        if len(weight) != 1:
            raise UserError(f"{source} gives {len(weight)} figures a picture, not one score")
        self._weight, self._bias = weight[0], float(bias[0])

    def scores(self, embed: Embed) -> Callable[[Batch], NDArray[np.float64]]:
        """A function that scores each of B pictures by features of the encoder, (B,), about 1 to 10."""
        return lambda batch: normalised(batch.features_by(embed)) @ self._weight + self._bias


def _names(tensors: Mapping[str, Tensor], source: str) -> list[str]:
    """The layers' names in order, with the dot after them."""
    if set(tensors) == {"weight", "bias"}:
        return [""]
    numbered = sorted((int(found[1]), name) for name in tensors if (found := LAYER.fullmatch(name)))
    names = [name.removesuffix("weight") for _, name in numbered]
    if not names or {f"{name}{part}" for name in names for part in ("weight", "bias")} != set(tensors):
        raise UserError(
            f"{source} is no head of linear layers: it has {', '.join(sorted(tensors)[:3]) or 'no tensors'}"
        )
    return names
