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
HALF_CLEAR = 24  # alpha from which a pixel's colour says something of the product
ENOUGH = 40  # soft pixels that are needed to tell what they were blended with
NOISE = 12  # levels by which the nearest sure pixel may differ from a soft one's product
BETTER = 3  # times that the blend must explain soft pixels better than the product alone
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
        front = _nearest(picture, product, soft).astype(np.float32)
        back = _nearest(picture, background, soft).astype(np.float32)
        rest = picture[soft] - alpha * front - (1 - alpha) * back
        colours = picture.copy()
        colours[soft] = (front + alpha * rest).round().clip(0, 255)
    return fill_clear(np.dstack([colours, mask]))


def unmatte(cutout: Pixels) -> Pixels:
    """A cutout (H, W, 4) without the white or black that its soft edges were blended with before it was saved.

    Its soft pixels then show a F + (1 - a) B, B being white or black, where F is the colour of the nearest sure pixel;
    if they do better than they show F itself, B is taken out of them. Others keep their colours.
    """
    alpha = cutout[..., 3]
    soft, product = (alpha >= HALF_CLEAR) & (alpha <= 255 - HALF_CLEAR), alpha >= SURE_PRODUCT
    if soft.sum() < ENOUGH or not product.any():
        return cutout
    seen, front = cutout[soft][:, :3].astype(np.float32), _nearest(cutout, product, soft)[:, :3].astype(np.float32)
    share = alpha[soft, None].astype(np.float32) / 255
    straight = _error(seen, front)
    errors = {matte: _error(seen, share * front + (1 - share) * matte) for matte in (255, 0)}
    matte = min(errors, key=lambda level: errors[level])
    if errors[matte] > NOISE or straight < BETTER * max(errors[matte], NOISE / 2):
        return cutout
    mixed = (alpha > 0) & ~product
    share = alpha[mixed, None].astype(np.float32) / 255
    colours = cutout.copy()
    own = (cutout[mixed][:, :3] - (1 - share) * matte) / share
    faint = share < HALF_CLEAR / 255  # too little of the product is left to divide by
    colours[mixed, :3] = np.where(faint, _nearest(cutout, product, mixed)[:, :3], own.round().clip(0, 255))
    return colours


def _error(seen: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """The median over pixels (N, 3) of the largest difference in a channel."""
    return float(np.median(np.abs(seen - expected).max(axis=1)))


def fill_clear(cutout: Pixels) -> Pixels:
    """A cutout (H, W, 4) whose clear pixels (alpha 0) have the colour of the nearest pixel of the product.

    Every other pixel keeps its colour, however faint: glass and shadows have their own.
    """
    alpha = cutout[..., 3]
    clear = alpha == 0
    known = alpha >= 128 if (alpha >= 128).any() else ~clear
    if not clear.any() or not known.any():
        return cutout
    filled = cutout.copy()
    filled[clear, :3] = _nearest(cutout, known, clear)[:, :3]
    return filled


def resize(cutout: Pixels, width: int, height: int) -> Pixels:
    """A cutout (H, W, 4) at another size: colours are weighted by alpha, so that those of clear pixels don't count."""
    if cutout.shape[:2] == (height, width):
        return cutout
    weighted = _weighted(cutout)
    shrinks = width <= cutout.shape[1] and height <= cutout.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small: NDArray[np.float32] = np.asarray(cv2.resize(weighted, (width, height), interpolation=interpolation))
    alpha = small[..., 3:]
    colours = np.where(alpha > 0, small[..., :3] * 255 / np.maximum(alpha, 1e-6), 0)
    return fill_clear(np.dstack([colours, alpha]).round().clip(0, 255).astype(np.uint8))


def _weighted(cutout: Pixels) -> NDArray[np.float32]:
    """A cutout's colours by their share of 255, and its alpha, (H, W, 4); a plane at a time, which is faster."""
    *planes, alpha = cv2.split(cutout.astype(np.float32))
    share = alpha / 255
    return np.asarray(cv2.merge([*(plane * share for plane in planes), alpha]))


def _nearest(pixels: Pixels, known: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Pixels:
    """The colours (N, C) of the known pixels that are nearest to the wanted ones."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.flatnonzero(known)
    place_of = np.zeros(len(places) + 1, np.intp)  # by label: each known pixel has its own, from 1 on
    place_of[labels.ravel()[places]] = places
    return np.asarray(pixels.reshape(-1, pixels.shape[2])[place_of[labels[wanted]]])
