"""The product's own colours in a cutout: no old background in soft edges, no black under clear pixels.

A soft pixel of a photo is a mixture, I = a F + (1 - a) B, of the product's colour F and the background's B. A cutout
holds F. Arrays are uint8, height x width (x channels); alphas are 255 where the product is.
"""

from __future__ import annotations

import math

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
REACH = 2  # pixels from a sure pixel to where the product's colour is taken to be that pixel's
DOUBT = 0.1  # of a lone pixel's own colour: with an alpha (0..1) below, the nearest sure pixel says more of it


def decontaminate(picture: Pixels, mask: Pixels) -> Pixels:
    """The product of a picture (H, W, 3) as a cutout (H, W, 4): the background is taken out of its soft edges.

    F and B of a soft pixel are first those of the nearest sure pixels; what their mixture leaves unexplained, such as
    texture, goes to F by the share that it has in the pixel. Cords, hair and glass have no sure pixels, and other
    colours than those elsewhere on the product: where such a part is least clear, F follows from B alone, and is that
    of the pixels around.
    """
    soft = (mask > SURE_BACKGROUND) & (mask < SURE_PRODUCT)
    product, background = mask >= SURE_PRODUCT, mask <= SURE_BACKGROUND
    colours = picture
    if soft.any() and background.any():
        lone = _lone(mask, soft, product)
        known = picture.copy()
        if lone.any():
            front = _nearest(picture, product, lone) if product.any() else picture[lone]
            alpha = mask[lone, None].astype(np.float32) / 255
            share = alpha / (alpha**2 + DOUBT**2)  # nearly 1 / alpha, but for faint pixels
            known[lone] = _unmixed(picture, mask, lone, front=front, background=background, share=share)
        product |= lone
        if product.any():
            front, share = _nearest(known, product, soft), mask[soft, None].astype(np.float32) / 255
            colours = picture.copy()
            colours[soft] = _unmixed(picture, mask, soft, front=front, background=background, share=share)
    return fill_clear(np.dstack([colours, mask]))


def _lone(mask: Pixels, soft: NDArray[np.bool_], product: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The soft pixels that are no edge of anything sure: away from it, and none around them is less clear."""
    size = 2 * REACH + 1
    near = cv2.dilate(product.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    peak = mask == cv2.dilate(mask, np.ones((3, 3), np.uint8))
    return np.asarray(soft & peak & ~near & (mask >= HALF_CLEAR))


def _unmixed(
    picture: Pixels,
    mask: Pixels,
    wanted: NDArray[np.bool_],
    *,
    front: Pixels,
    background: NDArray[np.bool_],
    share: NDArray[np.floating],
) -> Pixels:
    """F (N, 3) of the wanted pixels: `front`, and a share of what its mixture with the nearest B leaves unexplained."""
    alpha = mask[wanted, None].astype(np.float32) / 255  # (N, 1), 0..1
    back = _nearest(picture, background, wanted).astype(np.float32)
    rest = picture[wanted] - alpha * front - (1 - alpha) * back
    return np.asarray((front + share * rest).round().clip(0, 255), np.uint8)


def unmatte(cutout: Pixels) -> Pixels:
    """A cutout (H, W, 4) without the white or black that its soft edges were blended with before it was saved.

    Its soft pixels then show a F + (1 - a) B, B being white or black, where F is the colour of the nearest sure pixel;
    if they do better than they show F itself, B is taken out of them. Others keep their colours.
    """
    visible = _visible(cutout)
    part = _unmatted(np.ascontiguousarray(cutout[visible]))
    if part is None:
        return cutout
    colours = cutout.copy()
    colours[visible] = part
    return colours


def _unmatted(cutout: Pixels) -> Pixels | None:
    """`unmatte`; None where every pixel keeps its colour."""
    alpha = np.ascontiguousarray(cutout[..., 3])
    soft, product = (alpha >= HALF_CLEAR) & (alpha <= 255 - HALF_CLEAR), alpha >= SURE_PRODUCT
    if np.count_nonzero(soft) < ENOUGH or not product.any():
        return None
    seen, front = cutout[soft][:, :3].astype(np.float32), _nearest(cutout, product, soft)[:, :3].astype(np.float32)
    share = alpha[soft, None].astype(np.float32) / 255
    straight = _error(seen, front)
    errors = {matte: _error(seen, share * front + (1 - share) * matte) for matte in (255, 0)}
    matte = min(errors, key=lambda level: errors[level])
    if errors[matte] > NOISE or straight < BETTER * max(errors[matte], NOISE / 2):
        return None
    mixed = (alpha > 0) & ~product
    share = alpha[mixed, None].astype(np.float32) / 255
    colours = cutout.copy()
    own = (cutout[mixed][:, :3] - (1 - share) * matte) / share
    faint = share < HALF_CLEAR / 255  # too little of the product is left to divide by
    colours[mixed, :3] = np.where(faint, _nearest(cutout, product, mixed)[:, :3], own.round().clip(0, 255))
    return colours


def _error(seen: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """The median over pixels (N, 3) of the largest difference in a channel."""
    red, green, blue = np.abs(seen - expected).T
    largest = np.maximum(np.maximum(red, green), blue)
    middle = (len(largest) - 1) // 2, len(largest) // 2
    return float(np.partition(largest, middle)[list(middle)].mean())  # np.median of few numbers takes longer


def fill_clear(cutout: Pixels) -> Pixels:
    """A cutout (H, W, 4) whose clear pixels (alpha 0) have the colour of the nearest pixel of the product.

    Every other pixel keeps its colour, however faint: glass and shadows have their own.
    """
    alpha = np.ascontiguousarray(cutout[..., 3])
    clear, known = alpha == 0, alpha >= 128
    known = known if known.any() else ~clear
    if not clear.any() or not known.any():
        return cutout
    labels, places = _labels(known)
    colours = np.zeros((len(places) + 1, 4), np.uint8)
    colours[labels.ravel()[places], :3] = cutout.reshape(-1, 4)[places, :3]
    words = np.ascontiguousarray(cutout).view(np.uint32)[..., 0]  # a pixel in one piece is moved faster than four
    filled = np.where(clear, colours.view(np.uint32).ravel().take(labels), words)
    return filled.view(np.uint8).reshape(cutout.shape)


def resize(cutout: Pixels, width: int, height: int) -> Pixels:
    """A cutout (H, W, 4) at another size: colours are weighted by alpha, so that those of clear pixels don't count."""
    if cutout.shape[:2] == (height, width):
        return cutout
    if width > cutout.shape[1] or height > cutout.shape[0]:
        return fill_clear(_resized(cutout, (width, height), cv2.INTER_LINEAR))
    rows, columns = _visible(cutout)
    above, rows = _aligned(rows, cutout.shape[0], height)
    left, columns = _aligned(columns, cutout.shape[1], width)
    small = np.zeros((height, width, 4), np.uint8)
    size = left.stop - left.start, above.stop - above.start
    if all(size):
        small[above, left] = _resized(cutout[rows, columns], size, cv2.INTER_AREA)
    return fill_clear(small)


def resize_mask(mask: Pixels, width: int, height: int) -> Pixels:
    """A mask (H, W) at another size, as `resize` gives the alpha of a cutout."""
    if mask.shape == (height, width):
        return mask
    grows = width > mask.shape[1] or height > mask.shape[0]
    interpolation = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    resized = cv2.resize(mask.astype(np.float32), (width, height), interpolation=interpolation)
    return _rounded(np.asarray(resized, np.float32))


def _resized(cutout: Pixels, size: tuple[int, int], interpolation: int) -> Pixels:
    """A cutout (H, W, 4) at another (width, height), black where it is clear; a plane at a time, which is faster."""
    *planes, opacity = cv2.split(cutout)
    alpha = opacity.astype(np.float32)
    share = alpha / 255
    small_alpha = cv2.resize(alpha, size, interpolation=interpolation)
    divisor = np.maximum(small_alpha, 1e-6)
    colours = [cv2.resize(plane * share, size, interpolation=interpolation) * 255 / divisor for plane in planes]
    return np.asarray(cv2.merge([_rounded(plane) for plane in (*colours, small_alpha)]))


def _rounded(levels: NDArray[np.float32]) -> Pixels:
    return np.asarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def _visible(cutout: Pixels) -> tuple[slice, slice]:
    """The rows and columns of a cutout (H, W, 4) outside of which all is clear."""
    left, top, width, height = cv2.boundingRect(cv2.extractChannel(cutout, 3))
    return slice(top, top + height), slice(left, left + width)


def _aligned(part: slice, length: int, size: int) -> tuple[slice, slice]:
    """The least run of whole pixels that a part of `length` pixels becomes at `size`, and what that is made of.

    Where it begins and ends, so do pixels on both sides: resized alone, the run comes out as it does from the whole, to
    the bit. Where the step between pixels can't be written exactly, it is the whole.
    """
    unit = length // math.gcd(length, size)  # pixels that become a whole number of them
    if size & (size - 1) or 1 / (size / length) != length / size:
        return slice(0, size), slice(0, length)
    first, last = part.start // unit, -(-part.stop // unit)
    step = size * unit // length
    return slice(first * step, last * step), slice(first * unit, last * unit)


def _nearest(pixels: Pixels, known: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> Pixels:
    """The colours (N, C) of the known pixels that are nearest to the wanted ones."""
    labels, places = _labels(known)
    place_of = np.zeros(len(places) + 1, np.intp)
    place_of[labels.ravel()[places]] = places
    return np.asarray(pixels.reshape(-1, pixels.shape[2])[place_of[labels[wanted]]])


def _labels(known: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Each pixel's label (H, W) of its nearest known one, which have one each, from 1 on; and their flat places."""
    _, labels = cv2.distanceTransformWithLabels((~known).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return np.asarray(labels), np.flatnonzero(known)
