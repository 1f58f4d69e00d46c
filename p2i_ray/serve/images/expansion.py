"""Object expansion: a model may continue the product beyond its outline, with a longer handle or a lid.

The image is segmented again, starting from where the product is known to be; the segment's area beyond the mask is the
measure, as in yahoo/photo-background-generation.
"""

from __future__ import annotations

import cv2
import numpy as np

from p2i_ray.data.images import Pixels

# Every picture is measured: on photos over photos 256 pixels and 3 iterations took eight times as long, no better.
SIDE = 128  # pixels of the longest side on which it is measured: 8 ms
REACH = 1.0  # search distance beyond the mask, in radii of a disc of the product's area
EDGE = 0.02  # width of the product's edge, which may be soft, in the image's longest side
ITERATIONS = 1


def expansion(image: Pixels, mask: Pixels) -> float:
    """The growth of the product in a painted image, as a fraction of its area.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8, 255 where the product is.

    Returns:
        |segmented minus mask| / |mask|, from 0 (it ends where it should) to about 3: the search reaches as far around
        the mask as the radius of a disc of its area. A background that touches the product in the same colours counts
        as growth.
    """
    image, mask = _small(image), _small(mask)
    product = (mask >= 128).astype(np.uint8)
    area = int(product.sum())
    if area == 0 or area == product.size:
        return 0.0
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)  # the same image gives the same figure
    edge = max(1, round(EDGE * max(mask.shape) / 2))
    reach = max(2 * edge + 1, round(REACH * np.sqrt(area / np.pi)))
    start = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    start[cv2.dilate(product, _disc(reach)) > 0] = cv2.GC_PR_BGD
    start[product > 0] = cv2.GC_FGD
    if not (start == cv2.GC_BGD).any():  # the search reaches everywhere: what is farthest away counts as background
        far = cv2.distanceTransform(1 - product, cv2.DIST_L2, 3)
        start[far >= np.quantile(far[product == 0], 0.75)] = cv2.GC_BGD
    found = start.copy()
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))  # the colour models
    cv2.grabCut(
        np.ascontiguousarray(image), found, (0, 0, 0, 0), background, foreground, ITERATIONS, cv2.GC_INIT_WITH_MASK
    )
    segmented = ((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)).astype(np.uint8)
    allowed = np.asarray(cv2.dilate(product, _disc(edge)), np.uint8)  # an edge may lie a pixel or two off
    beyond = cv2.morphologyEx(segmented & (1 - allowed), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    grown = _touching(np.asarray(beyond, np.uint8), allowed)
    grown |= cv2.dilate(grown, _disc(edge)) & segmented & (1 - product)  # with its part of the edge
    return float(grown.sum() / area)


def _touching(parts: Pixels, product: Pixels) -> Pixels:
    """The connected parts that touch the product; others are objects of the scene."""
    _, labels = cv2.connectedComponents(parts)
    against = np.unique(labels[cv2.dilate(product, _disc(2)) > 0])
    return np.isin(labels, against[against > 0]).astype(np.uint8)


def _disc(radius: int) -> Pixels:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def _small(pixels: Pixels) -> Pixels:
    scale = SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
