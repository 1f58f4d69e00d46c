"""The product's own colours in a cutout: no old background in soft edges, no black under clear pixels.

A soft pixel of a photo is a mixture, I = a F + (1 - a) B, of the product's colour F and the background's B. A cutout
holds F. Arrays are uint8, height x width (x channels); alphas are 255 where the product is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

SURE_PRODUCT = 250  # alpha from which a pixel shows nothing but the product
SURE_BACKGROUND = 5  # alpha up to which it shows nothing of it


def decontaminate(picture: Pixels, mask: Pixels) -> Pixels:
    """The product of a picture (H, W, 3) as a cutout (H, W, 4): the background is taken out of its soft edges.

    F and B of a soft pixel are first those of the nearest sure pixels; what their mixture leaves unexplained, such as
    texture, goes to F by the share that it has in the pixel.
    """
    soft = (mask > SURE_BACKGROUND) & (mask < SURE_PRODUCT)
    product, background = mask >= SURE_PRODUCT, mask <= SURE_BACKGROUND
    colours = picture
    if soft.any() and product.any() and background.any():
        alpha = mask[soft, None].astype(np.float32) / 255  # (N, 1), 0..1
        front = _nearest(picture, product)[soft].astype(np.float32)
        back = _nearest(picture, background)[soft].astype(np.float32)
        rest = picture[soft] - alpha * front - (1 - alpha) * back
        colours = picture.copy()
        colours[soft] = (front + alpha * rest).round().clip(0, 255)
    return fill_clear(np.dstack([colours, mask]))


def fill_clear(cutout: Pixels) -> Pixels:
    """A cutout (H, W, 4) whose clear pixels (alpha 0) have the colour of the nearest pixel of the product.

    Every other pixel keeps its colour, however faint: glass and shadows have their own.
    """
    alpha = cutout[..., 3]
    clear = alpha == 0
    known = alpha >= 128 if (alpha >= 128).any() else ~clear
    if not clear.any() or not known.any():
        return cutout
    filled = np.where(clear[..., None], _nearest(cutout[..., :3], known), cutout[..., :3])
    return np.dstack([filled, alpha])


def resize(cutout: Pixels, width: int, height: int) -> Pixels:
    """A cutout (H, W, 4) at another size: colours are weighted by alpha, so that those of clear pixels don't count."""
    if cutout.shape[:2] == (height, width):
        return cutout
    weighted = np.asarray(cutout, np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    shrinks = width <= cutout.shape[1] and height <= cutout.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small: NDArray[np.float32] = np.asarray(cv2.resize(weighted, (width, height), interpolation=interpolation))
    alpha = small[..., 3:]
    colours = np.where(alpha > 0, small[..., :3] * 255 / np.maximum(alpha, 1e-6), 0)
    return fill_clear(np.dstack([colours, alpha]).round().clip(0, 255).astype(np.uint8))


def _nearest(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
    """Every pixel with the colour of the nearest known one, (H, W, 3)."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[known]] = pixels[known]
    return np.asarray(colours[labels])
