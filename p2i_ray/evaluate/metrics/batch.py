"""Pictures on their way to the metrics, with the features that several metrics share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

if TYPE_CHECKING:
    from torch import Tensor

Features = NDArray[np.float64]  # (B, D)
Embed = Callable[[Sequence[Pixels]], "Tensor"]


class MeasuredImages(NamedTuple):
    """One generated row; pictures are (side, side, 3), uint8."""

    picture: Pixels  # I
    product: Pixels  # c, on grey, or what evaluate.fill says
    background: Pixels  # B, the same where the product was
    cutout: Pixels  # the product's colours, without its alpha
    mask: Pixels  # m: its alpha, (side, side), 0 to 255
    id: str = ""
    name: str = ""  # of the product
    category: str = ""  # of the product
    resized: bool = False  # the picture had none of the sizes that the settings have


class RealImages(NamedTuple):
    """Parts of a real row beside its picture, for some metrics; both (side, side, 3), uint8. One is there at least."""

    background: (
        Pixels | None
    )  # the picture's, grey, or what evaluate.fill says, where the product was; none: no picture
    reference: Pixels | None = None  # the same of the row's reference; none: it has none
    id: str = ""
    category: str = ""


class Batch:
    """Pictures of one side.

    Args:
        pictures: (H, W, 3), uint8.
        embed: CLIP's image encoder.
        rows: the generated rows whose pictures they are; of real pictures none.
        real: the real rows whose pictures they are, where a metric asks for them, and rows with a reference alone.
    """

    def __init__(
        self,
        pictures: Sequence[Pixels],
        embed: Embed,
        rows: Sequence[MeasuredImages] = (),
        real: Sequence[RealImages] = (),
    ) -> None:
        self.pictures, self.rows, self._embed = pictures, rows, embed
        self.real = [one for one in real if one.background is not None]  # of those that have a picture of their own
        self.referred = [one for one in real if one.reference is not None]
        self._known: dict[Embed, Features] = {}

    @cached_property
    def embedded(self) -> Tensor:
        """CLIP's answer for the pictures, (B, D)."""
        return self._embed(self.pictures)

    @cached_property
    def embedded_backgrounds(self) -> Tensor:
        """The same for the rows' backgrounds."""
        return self._embed([row.background for row in self.rows])

    @cached_property
    def embedded_products(self) -> Tensor:
        """The same for the rows' products."""
        return self._embed([row.product for row in self.rows])

    @cached_property
    def clip(self) -> Features:
        """CLIP's features of the pictures, projected, not normalised."""
        return as_features(self.embedded)

    @cached_property
    def background_clip(self) -> Features:
        """The same of the rows' backgrounds."""
        return as_features(self.embedded_backgrounds)

    @cached_property
    def own_background_clip(self) -> Features:
        """CLIP's features of the real rows' backgrounds, (B, D)."""
        return as_features(self._embed([row.background for row in self.real if row.background is not None]))

    @cached_property
    def reference_clip(self) -> Features:
        """CLIP's features of the backgrounds of those references that there are, (R, D)."""
        there = [row.reference for row in self.referred if row.reference is not None]
        return as_features(self._embed(there)) if there else np.empty((0, 1))

    def features_by(self, embed: Embed) -> Features:
        """The pictures' features (B, D) by an encoder; computed once."""
        if embed not in self._known:
            self._known[embed] = as_features(embed(self.pictures))
        return self._known[embed]


def as_features(features: Tensor) -> Features:
    """A model's answer (B, D) in the precision in which distances are computed."""
    return np.asarray(features.double().cpu().numpy())


def normalised(features: Features) -> Features:
    """Features of length 1."""
    lengths: Features = np.linalg.norm(features, axis=1, keepdims=True)
    return features / lengths
