"""Frame a product in a square: cropped from its photo, or with free space around it where there is no photo.

Arrays are uint8, height x width (x channels); masks and alphas are 255 where the product is.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.cutouts import colours
from p2i_ray.data.images import Pixels

MARGIN = 0.05  # free space wanted around the product, fraction of its longer side
VISIBLE = 8  # alpha from which a pixel counts as part of the product, which soft shadows and glass are
STRAY = 0.001  # parts of a product below this fraction of its largest part are dust and don't move the frame


class Window(NamedTuple):
    """A square of `side` pixels, which may reach beyond the photo: `top` and `left` may be negative."""

    top: int
    left: int
    side: int


def extent_of(mask: Pixels) -> tuple[slice, slice]:
    """Rows and columns of the product in a mask (H, W) that is not empty; stray pixels don't count."""
    visible = (mask >= min(VISIBLE, int(mask.max()))).view(np.uint8)
    x, y, width, height = cv2.boundingRect(visible)
    _, _, parts, _ = cv2.connectedComponentsWithStats(visible[y : y + height, x : x + width], connectivity=8)
    parts = parts[1:]  # the first is what is not visible
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= STRAY * parts[:, cv2.CC_STAT_AREA].max()]
    top, left = y + int(parts[:, cv2.CC_STAT_TOP].min()), x + int(parts[:, cv2.CC_STAT_LEFT].min())
    bottom = y + int((parts[:, cv2.CC_STAT_TOP] + parts[:, cv2.CC_STAT_HEIGHT]).max())
    right = x + int((parts[:, cv2.CC_STAT_LEFT] + parts[:, cv2.CC_STAT_WIDTH]).max())
    return slice(top, bottom), slice(left, right)


def scene_window(mask: Pixels) -> Window | None:
    """The largest square of a photo around its product, given by its mask (H, W).

    A product longer than the photo's shorter side is not cut: the square reaches beyond the photo, where the strip
    between frame and product is mirrored, once. None where that strip is too narrow: the photo then shows no scene that
    a square could hold.
    """
    height, width = mask.shape
    rows, columns = extent_of(mask)
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    if longer <= min(height, width):
        sides = [min(height, width)]
    else:  # the margin shrinks where the strip is too narrow for all of it
        sides = [min(longer + 2 * free, max(height, width)) for free in range(_margin(longer), -1, -1)]
    for side in sides:
        top, left = _start(height, rows, side), _start(width, columns, side)
        beyond = (-top, top + side - height, -left, left + side - width)
        strips = (rows.start, height - rows.stop, columns.start, width - columns.stop)
        if all(wanted <= strip for wanted, strip in zip(beyond, strips, strict=True)):
            return Window(top, left, side)
    return None


def cutout_window(mask: Pixels) -> Window:
    """The largest square of a cutout's canvas around its product; beyond the canvas where the margin asks for it."""
    height, width = mask.shape
    rows, columns = extent_of(mask)
    wanted = _with_margin(rows, columns)
    side = max(min(height, width), wanted)
    free = _margin(max(rows.stop - rows.start, columns.stop - columns.start))
    top, left = _free_start(height, rows, side, free), _free_start(width, columns, side, free)
    return Window(top, left, side)


def crop_scene(photo: Pixels, window: Window, side: int) -> Pixels:
    """Crop a photo (H, W, 3) to a window, mirrored beyond the photo, and resize it to (side, side, 3)."""
    if _is_inside(window, *photo.shape[:2]):
        return _resize(photo[_inside(window)], window, side)
    y, _ = _indices(photo.shape[0], window.top, window.side)
    x, _ = _indices(photo.shape[1], window.left, window.side)
    return _resize(photo[y][:, x], window, side)


def crop_mask(mask: Pixels, window: Window, side: int) -> Pixels:
    """Crop a photo's mask (H, W) as `crop_scene` its photo; the product itself is never mirrored."""
    if _is_inside(window, *mask.shape):
        return _resize(mask[_inside(window)], window, side)
    y, y_inside = _indices(mask.shape[0], window.top, window.side)
    x, x_inside = _indices(mask.shape[1], window.left, window.side)
    inside = y_inside[:, None] & x_inside[None, :]
    return _resize(np.where(inside, mask[y][:, x], 0).astype(np.uint8), window, side)


def crop_cutout(cutout: Pixels, window: Window, side: int) -> Pixels:
    """Crop a cutout (H, W, 4) to a window, clear beyond its canvas, and resize it to (side, side, 4)."""
    height, width = cutout.shape[:2]
    top, left = max(0, window.top), max(0, window.left)
    part = cutout[top : min(height, window.top + window.side), left : min(width, window.left + window.side)]
    if not _is_inside(window, height, width):
        canvas = np.zeros((window.side, window.side, 4), np.uint8)
        y, x = top - window.top, left - window.left
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
        part = canvas
    return colours.fill_clear(part) if window.side == side else colours.resize(part, side, side)


def _is_inside(window: Window, height: int, width: int) -> bool:
    """Whether nothing of a window reaches beyond a picture."""
    top, left, side = window
    return 0 <= top <= height - side and 0 <= left <= width - side


def _with_margin(rows: slice, columns: slice) -> int:
    """The side of a square that holds the product with a margin, pixels."""
    longer: int = max(rows.stop - rows.start, columns.stop - columns.start)
    return longer + 2 * _margin(longer)


def _margin(longer: int) -> int:
    return int(np.ceil(longer * MARGIN))


def _start(length: int, part: slice, side: int) -> int:
    """The start of `side` pixels around a part, as near its middle as `length` pixels allow."""
    low, high = sorted((0, length - side))
    middle: int = (part.start + part.stop - side) // 2
    return min(max(middle, low), high)


def _free_start(length: int, part: slice, side: int, free: int) -> int:
    """The same, but with at least `free` pixels on both sides of the part."""
    start, stop = int(part.start), int(part.stop)
    return max(min(_start(length, part, side), start - free), stop + free - side)


def _inside(window: Window) -> tuple[slice, slice]:
    """The rows and columns of a window that reaches beyond nothing."""
    return slice(window.top, window.top + window.side), slice(window.left, window.left + window.side)


def _resize(pixels: Pixels, window: Window, side: int) -> Pixels:
    """What is seen in a window at its final size."""
    interpolation = cv2.INTER_AREA if side <= window.side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=interpolation), np.uint8)


def _indices(length: int, start: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of `side` pixels from `start` on, mirrored beyond the photo; and which are inside."""
    places = np.arange(start, start + side)
    indices = np.where(places < 0, -1 - places, np.where(places >= length, 2 * length - 1 - places, places))
    return indices, (places >= 0) & (places < length)
