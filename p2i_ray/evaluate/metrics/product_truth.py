"""Product truth: whether a generated picture still shows the shop's product as it is.

Pixels are compared at image.resolution with those of the cutout, inside the mask where its alpha is 255. A model whose
sampler pastes the product's own pixels back has no difference by construction, except where pictures are compressed.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

TOLERANCE = 2  # of 255: what rounding by a resize or a JPEG of high quality does


class ShownProduct(Protocol):
    """A generated picture and the product that it is to show; evaluate.metrics.batch.MeasuredImages is one."""

    @property
    def picture(self) -> Pixels:
        """I, (H, W, 3) uint8."""
        ...

    @property
    def cutout(self) -> Pixels:
        """The product's colours, (H, W, 3) uint8, without its alpha."""
        ...

    @property
    def mask(self) -> Pixels:
        """m: its alpha, (H, W), 0 to 255."""
        ...


def unchanged(row: ShownProduct) -> float:
    """The share of the product's pixels none of whose channels differs by more than 2 of 255.

    0..1; higher is better; NaN where no pixel is wholly the product's.
    """
    inside = row.mask == 255
    if not inside.any():
        return float("nan")
    apart = np.abs(row.picture[inside].astype(np.int16) - row.cutout[inside])
    return float((apart <= TOLERANCE).all(axis=-1).mean())


def colour(row: ShownProduct) -> float:
    """The mean CIEDE2000 difference of the product's pixels.

    0..about 100; lower is better, below 1 nobody sees it; NaN where no pixel is wholly the product's.
    """
    inside = row.mask == 255
    if not inside.any():
        return float("nan")
    shown, own = row.picture[inside], row.cutout[inside]  # (P, 3)
    differ = (shown != own).any(axis=-1)  # the others' difference is 0, and need not be computed
    apart = np.zeros(len(shown))
    apart[differ] = ciede2000(lab(shown[differ]), lab(own[differ]))
    return float(apart.mean())


def seam(row: ShownProduct) -> float:
    """The mean CIEDE2000 difference of neighbouring pixels across the mask's outline.

    Pairs are neighbours in a row or column, one with an alpha of at least 128, the other below. 0..about 100. A product
    stands out from its background by nature, so that this is no fault in itself: a model whose figure is higher on the
    same products leaves harder edges.
    """
    inside = row.mask >= 128
    pairs = [_across(inside, row.picture), _across(inside.T, row.picture.transpose(1, 0, 2))]
    apart = np.concatenate([ciede2000(lab(one), lab(other)) for one, other in pairs])
    return float(apart.mean()) if len(apart) else float("nan")


def expansion(found: Pixels, mask: Pixels) -> float:
    """The part of a product found in the generated picture that reaches beyond its own mask.

    The area found outside the mask as a fraction of the mask's area, with a margin of a hundredth of the side around
    the mask, which is where cutters are uncertain. 0 or more; lower is better.

    Args:
        found: mask of what a cutter takes for the product in the generated picture, (side, side).
        mask: the product's own, (side, side).
    """
    import cv2

    reach = 2 * max(1, round(len(mask) / 100)) + 1  # pixels, odd
    own = (mask >= 128).astype(np.uint8)
    near = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    return float(((found >= 128) & ~near).sum() / own.sum())


def _across(inside: NDArray[np.bool_], colours: Pixels) -> tuple[Pixels, Pixels]:
    """The colours of pixels (P, 3) and of their right neighbours, of which one is inside and the other is not."""
    edge = inside[:, :-1] != inside[:, 1:]
    return colours[:, :-1][edge], colours[:, 1:][edge]
