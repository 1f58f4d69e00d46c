"""A row's reference as a baseline sees it: the picture with white where its own product is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, Pixels, background_of, decode, encoded, has_picture, product_mask
from p2i_ray.diffusion.sampling.request import PaintRequest

WHITE = 255  # around the product, as in shops' pictures


@dataclass(frozen=True)
class ReferredRequest(PaintRequest):
    """A request with a picture whose background is wanted.

    Attributes:
        shown: the picture, (H, W, 3) uint8 of any size, white where its own product is.
    """

    shown: Pixels | None = None


def referred(plain: PaintRequest, row: Mapping[str, Any], columns: tuple[str, ...], image: ImageConfig) -> PaintRequest:
    """A row's request with its reference.

    Args:
        plain: without.
        row: with the columns.
        columns: that have the reference, and where there is one its cutout.
        image: limits of decoding.

    Raises:
        ImageError: there is no reference, or it can't be read.
    """
    pictured, *cut = columns
    try:
        if not has_picture(row[pictured]):
            raise ImageError("the row has none, and baseline.ip_adapter_sees=reference needs one")
        picture = np.asarray(decode(encoded(row[pictured]), image).convert("RGB"))
        if cut and has_picture(row[cut[0]]):
            mask = product_mask(decode(encoded(row[cut[0]]), image))
            if mask.shape != picture.shape[:2]:
                raise ImageError("the picture and its cutout have different sizes")
            picture = background_of(picture, mask, WHITE)
    except ImageError as error:
        raise ImageError(f"reference: {error}") from None
    return ReferredRequest(**plain.__dict__, shown=picture)
