"""Whether a cutout shows what its photo shows at the same place.

A cutout that was trimmed around its product, and has the photo's shape by chance, would be stretched over the photo and
mask something else. A cutout may well be brighter, sharper, or of other colours than its photo: retouching is what it
is made for. So it disagrees only where neither its levels nor its structure are the photo's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.cutouts import colours
from p2i_ray.data.images import Pixels

SIDE = 128  # pictures are compared at this size, which no noise and no fault of a pixel or two survives
OPAQUE = 250
RIM = 2  # pixels along the outline that don't count
LEAST = 100  # pixels; fewer say nothing
LEVELS = 32  # of 255: pixels that differ by less are alike
ALIKE = 0.5  # share of such pixels that makes a cutout the photo's
FINE, COARSE = 1.0, 8.0  # pixels: structure is what lies between these two scales
CONTRAST = 6.0  # levels; with less, a picture has no structure
SAME = 0.25  # correlation of structure; see tests/data/cutouts/test_agreement.py


def agrees(cutout: Pixels, photo: Pixels) -> bool:
    """Whether a cutout (H, W, 4) shows the photo (H, W, 3 or 4) where it is opaque, as far as one can tell."""
    if _is_plainly_the_photos(cutout, photo):
        return True
    alike, contrast, same = measures(cutout, photo)
    return alike >= ALIKE or contrast < CONTRAST or same >= SAME


def measures(cutout: Pixels, photo: Pixels) -> tuple[float, float, float]:
    """Compare a cutout (H, W, 4) and its photo (H, W, 3 or 4) where it is opaque.

    Returns:
        The share, 0..1, of pixels with nearly the same levels, the contrast of the structure of either, in levels, and
        the correlation, -1..1, of the two. Where too little is opaque, they are alike.
    """
    scale = SIDE / max(photo.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
    small = colours.resize(cutout, width, height)
    seen = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    opaque = small[..., 3] >= OPAQUE
    if seen.shape[2] == 4:
        opaque &= seen[..., 3] >= OPAQUE
    kernel = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
    inner = cv2.erode(opaque.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE) > 0
    if np.count_nonzero(inner) < LEAST:
        return 1.0, 0.0, 1.0
    own, other = (picture[..., :3].astype(np.float32) for picture in (small, seen))
    alike = float((np.abs(own - other).max(-1)[inner] < LEVELS).mean())
    first, second = (_structure(picture, inner)[inner] for picture in (own, other))
    contrast = max(float(np.sqrt((part**2).mean())) for part in (first, second))
    grey = _correlation(first.mean(-1), second.mean(-1))  # that of a product in other colours
    return alike, contrast, max(_correlation(first, second), grey)


def _is_plainly_the_photos(cutout: Pixels, photo: Pixels) -> bool:
    """Whether most of single pixels, of which few are looked at, are alike: of most cutouts, and soon told."""
    step = max(1, max(photo.shape[:2]) // SIDE)
    own, other = cutout[::step, ::step], photo[::step, ::step]
    opaque = own[..., 3] >= OPAQUE
    if np.count_nonzero(opaque) < LEAST:
        return False
    apart = np.abs(own[opaque, :3].astype(np.int16) - other[opaque, :3]).max(-1)
    return bool((apart < LEVELS).mean() >= ALIKE)


def _structure(picture: NDArray[np.float32], inner: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Details between a fine and a coarse scale of a picture (H, W, 3); only its inner pixels count."""
    weight = inner.astype(np.float32)
    fine, coarse = (_blurred(picture, weight, sigma) for sigma in (FINE, COARSE))
    return np.asarray(fine - coarse, np.float32)


def _blurred(picture: NDArray[np.float32], weight: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    summed = cv2.GaussianBlur(picture * weight[..., None], (0, 0), sigma)
    return np.asarray(summed / np.maximum(total, 1e-6)[..., None], np.float32)


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / norm if norm > 0 else 0.0
