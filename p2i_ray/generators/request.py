"""One image to paint by category, by a reference picture, or by both; and what makes a reference unusable."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import cv2
import numpy as np

from p2i_ray.config.shapes import ALIKE, Size
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.errors import UserError


@dataclass(frozen=True)
class Reference:
    """A picture whose background's style is wanted.

    Attributes:
        picture: (H, W, 3) uint8.
        mask: (H, W) uint8, 255 where its product is; none: it is a background without a product.
    """

    picture: Pixels
    mask: Pixels | None = None


@dataclass(frozen=True)
class GeneratorRequest(PaintRequest):
    """As PaintRequest.

    Attributes:
        category: of the product; needed by a category-wise generator.
        references: one, for a personality-wise generator.
    """

    category: str | None = None
    references: tuple[Reference, ...] = ()

    @property
    def batch_key(self) -> Hashable:
        """See PaintRequest; all of a batch have a reference, or none has."""
        return super().batch_key, bool(self.references)


def fitted(references: tuple[Reference, ...], shape: tuple[int, ...]) -> Reference:
    """The one reference of a request, in the size of what is to be painted, with a mask.

    Args:
        references: of the request.
        shape: height and width of what is to be painted.

    Raises:
        UserError: there are none or several; its mask is of another size; it has no background, that is, its product
            covers all of it or there is one flat colour around it; or its shape is another one, so that it would have
            to be cut or distorted.
    """
    if len(references) != 1:
        given = "none" if not references else str(len(references))
        raise UserError(f"a personality-wise generator takes one reference picture, the request has {given}; give one")
    [reference] = references
    height, width = reference.picture.shape[:2]
    mask = np.zeros((height, width), np.uint8) if reference.mask is None else reference.mask
    own, wanted = Size(width, height), Size(shape[1], shape[0])
    if mask.shape != (height, width):
        raise UserError(
            f"the reference picture has {own} pixels, its mask {Size(mask.shape[1], mask.shape[0])}; give a mask of "
            "its size"
        )
    around = reference.picture[mask < 128]  # (N, 3)
    if not len(around):
        raise UserError("the reference is all product: no background is left to take a style from; give another one")
    if (around == around[0]).all():
        raise UserError(
            f"the reference has no background: all around its product is one colour, {tuple(around[0].tolist())}; "
            "give a picture with a scene"
        )
    if abs(own.aspect / wanted.aspect - 1) > ALIKE:
        raise UserError(
            f"the reference has {own} pixels, what is to be painted {wanted}: another shape; cut the reference to it"
        )
    if own != wanted:
        way = cv2.INTER_AREA if own.width > wanted.width else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(reference.picture, wanted, interpolation=way), np.uint8)
        mask = np.asarray(cv2.resize(mask, wanted, interpolation=cv2.INTER_NEAREST), np.uint8)
        return Reference(picture, mask)
    return Reference(reference.picture, mask)
