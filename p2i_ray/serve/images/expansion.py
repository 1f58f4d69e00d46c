"""Has the painted product grown? A painter may go on with the product beyond its outline: a longer handle, a lid.

The picture is segmented again, starting from where the product is known to be, and what is found beyond the mask is
held against it, as yahoo/photo-background-generation measures object expansion.
"""

from __future__ import annotations

import cv2
import numpy as np

from p2i_ray.data.images import Pixels

SIDE = 256  # pixels of the longest side on which it is measured: 30 ms
REACH = 1.0  # how far beyond the mask the product is looked for, in radii of a disc of its area
PAINTED = 0.02  # width, in the picture's longest side, of the product's edge, which may be soft
ITERATIONS = 3


def expansion(picture: Pixels, mask: Pixels) -> float:
    """Share of the product's area by which it seems to have grown in a painted picture.

    Args:
        picture: (H, W, 3) uint8.
        mask: (H, W) uint8, 255 where the product is.

    Returns:
        |segmented minus mask| / |mask|, from 0 (it ends where it should) to about 3, for it is looked for around the
        mask only as far as the radius of a disc of its area. A background in the very colours of the product, touching
        it, counts as grown.
    """
    picture, mask = _small(picture), _small(mask)
    product = (mask >= 128).astype(np.uint8)
    area = int(product.sum())
    if area == 0 or area == product.size:
        return 0.0
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)  # same picture, same figure
    edge = max(1, round(PAINTED * max(mask.shape) / 2))
    reach = max(2 * edge + 1, round(REACH * np.sqrt(area / np.pi)))
    start = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    start[cv2.dilate(product, _disc(reach)) > 0] = cv2.GC_PR_BGD
    start[product > 0] = cv2.GC_FGD
    if not (start == cv2.GC_BGD).any():  # it reaches everywhere: what is farthest from it counts as background
        far = cv2.distanceTransform(1 - product, cv2.DIST_L2, 3)
        start[far >= np.quantile(far[product == 0], 0.75)] = cv2.GC_BGD
    found = start.copy()
    cv2.grabCut(
        np.ascontiguousarray(picture), found, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS,
        cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    segmented = ((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)).astype(np.uint8)
    allowed = cv2.dilate(product, _disc(edge))  # an edge may lie a pixel or two off
    grown = _touching(cv2.morphologyEx(segmented & (1 - allowed), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)), allowed)
    grown |= cv2.dilate(grown, _disc(edge)) & segmented & (1 - product)  # with its part of the edge
    return float(grown.sum() / area)


def _touching(parts: Pixels, product: Pixels) -> Pixels:
    """Those parts that lie against the product: others are things of the scene."""
    _, labels = cv2.connectedComponents(parts)
    against = np.unique(labels[cv2.dilate(product, _disc(2)) > 0])
    return np.isin(labels, against[against > 0]).astype(np.uint8)


def _disc(radius: int) -> Pixels:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _small(pixels: Pixels) -> Pixels:
    scale = SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
