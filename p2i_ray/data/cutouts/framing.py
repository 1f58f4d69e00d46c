"""Frame a product in a picture's shape: cropped from its photo, or with free space around it where there is no photo.

Arrays are uint8, height x width (x channels); masks and alphas are 255 where the product is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.config.shapes import Size
from p2i_ray.data.cutouts import colours
from p2i_ray.data.images import Pixels

MARGIN = 0.05  # free space wanted around the product, fraction of its longer side
VISIBLE = 8  # alpha from which a pixel counts as part of the product, which soft shadows and glass are
STRAY = 0.001  # parts of a product below this fraction of its largest part are dust and don't move the frame


class Window(NamedTuple):
    """A part of a photo, which may reach beyond it: `top` and `left` may be negative."""

    top: int
    left: int
    height: int
    width: int


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


def scene_window(mask: Pixels, aspect: float = 1.0) -> Window | None:
    """The largest part of a photo, of this width by height, around its product, given by its mask (H, W).

    A product that doesn't fit in what lies within the photo is not cut: the part reaches beyond the photo, where the
    strip between frame and product is mirrored, once. None where that strip is too narrow: the photo then shows no
    scene that this shape could hold.
    """
    height, width = mask.shape
    rows, columns = extent_of(mask)
    longer = _longer(rows, columns)
    within = _within(height, width, aspect)
    if _holding(rows, columns, 0, aspect) <= within:
        heights = [within]
    else:  # the margin shrinks where the strip is too narrow for all of it
        most = max(height, math.ceil(width / aspect))
        heights = [min(_holding(rows, columns, free, aspect), most) for free in range(_margin(longer), -1, -1)]
    for tall in heights:
        wide = _width_of(tall, aspect)
        top, left = _start(height, rows, tall), _start(width, columns, wide)
        beyond = (-top, top + tall - height, -left, left + wide - width)
        strips = (rows.start, height - rows.stop, columns.start, width - columns.stop)
        if all(wanted <= strip for wanted, strip in zip(beyond, strips, strict=True)):
            return Window(top, left, tall, wide)
    return None


def cutout_window(mask: Pixels, aspect: float = 1.0) -> Window:
    """The largest part of a mask's (H, W) canvas around its product; beyond the canvas where the margin asks for it."""
    height, width = mask.shape
    rows, columns = extent_of(mask)
    free = _margin(_longer(rows, columns))
    tall = max(_within(height, width, aspect), _holding(rows, columns, free, aspect))
    wide = _width_of(tall, aspect)
    return Window(_free_start(height, rows, tall, free), _free_start(width, columns, wide, free), tall, wide)


def crop_scene(photo: Pixels, window: Window, size: Size) -> Pixels:
    """Crop a photo (H, W, 3) to a window, mirrored beyond the photo, and resize it to a size."""
    if _is_inside(window, *photo.shape[:2]):
        return _resize(photo[_inside(window)], window, size)
    y, _ = _indices(photo.shape[0], window.top, window.height)
    x, _ = _indices(photo.shape[1], window.left, window.width)
    return _resize(photo[y][:, x], window, size)


def crop_mask(mask: Pixels, window: Window, size: Size) -> Pixels:
    """Crop a photo's mask (H, W) as `crop_scene` its photo; the product itself is never mirrored."""
    if _is_inside(window, *mask.shape):
        return _resize(mask[_inside(window)], window, size)
    y, y_inside = _indices(mask.shape[0], window.top, window.height)
    x, x_inside = _indices(mask.shape[1], window.left, window.width)
    inside = y_inside[:, None] & x_inside[None, :]
    return _resize(np.where(inside, mask[y][:, x], 0).astype(np.uint8), window, size)


def crop_cutout(cutout: Pixels, window: Window, size: Size) -> Pixels:
    """Crop a cutout (H, W, 4) to a window, clear beyond its canvas, and resize it to a size."""
    height, width = cutout.shape[:2]
    top, left = max(0, window.top), max(0, window.left)
    part = cutout[top : min(height, window.top + window.height), left : min(width, window.left + window.width)]
    if not _is_inside(window, height, width):
        canvas = np.zeros((window.height, window.width, 4), np.uint8)
        y, x = top - window.top, left - window.left
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
        part = canvas
    same = (window.width, window.height) == size
    return colours.fill_clear(part) if same else colours.resize(part, size.width, size.height)


def _is_inside(window: Window, height: int, width: int) -> bool:
    """Whether nothing of a window reaches beyond a picture."""
    top, left, tall, wide = window
    return 0 <= top <= height - tall and 0 <= left <= width - wide


def _longer(rows: slice, columns: slice) -> int:
    """The longer side of the product, pixels."""
    return int(max(rows.stop - rows.start, columns.stop - columns.start))


def _within(height: int, width: int, aspect: float) -> int:
    """The height of the largest window of this shape that lies within a picture."""
    return min(height, max(1, math.floor(width / aspect)))


def _holding(rows: slice, columns: slice, free: int, aspect: float) -> int:
    """The height of the smallest window of this shape that holds the product and so much free space around it."""
    return int(max(rows.stop - rows.start + 2 * free, math.ceil((columns.stop - columns.start + 2 * free) / aspect)))


def _width_of(height: int, aspect: float) -> int:
    return max(1, math.floor(height * aspect + 0.5))


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
    return slice(window.top, window.top + window.height), slice(window.left, window.left + window.width)


def _resize(pixels: Pixels, window: Window, size: Size) -> Pixels:
    """A window's content at its final size."""
    interpolation = cv2.INTER_AREA if size.height <= window.height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def _indices(length: int, start: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of `side` pixels from `start` on, mirrored beyond the photo; and which are inside."""
    places = np.arange(start, start + side)
    indices = np.where(places < 0, -1 - places, np.where(places >= length, 2 * length - 1 - places, places))
    return indices, (places >= 0) & (places < length)
