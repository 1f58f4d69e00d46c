"""A cutout put where it belongs on a canvas."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.config.shapes import Size
from p2i_ray.data.cutouts.colours import decontaminate
from p2i_ray.data.images import Pixels
from p2i_ray.serve.images.placement import Box

SUPPORT = 4  # pixels that a filter sees on each side, and one more
RIM = 4  # pixels around what is seen that are resized with it
SPARE = 1.5  # times the new size that a cutout keeps when it is first reduced by whole numbers
OPAQUE = 0.98  # of the weight of opaque surroundings
Part = tuple[float, float, float, float]  # left, top, right and bottom


def product_box(cutout: Image.Image) -> Box:
    """The bounding box of an RGBA picture's product, that is of alpha from one half on."""
    return _box(np.asarray(cutout.getchannel("A")) >= 128)


def composed(cutout: Image.Image, source: Box, target: Box, *, canvas: Size, mixed: bool) -> Pixels:
    """A canvas (H, W, 4), clear but for a cutout of which one box fills another.

    What is faint around the source, such as a shadow, comes along as far as the canvas reaches.

    Args:
        cutout: RGBA.
        source: a box of the cutout.
        target: where it goes, in the canvas.
        canvas: its size.
        mixed: soft edges show the old background too, which is then taken out of them.
    """
    across, down = target.width / source.width, target.height / source.height  # canvas pixels for one of the cutout
    seen = _seen(cutout, math.ceil(RIM / min(across, down)))
    # So many pixels around the target are seen; negative: so many of its own are clear, and left out.
    left = min(target.left, math.ceil((source.left - seen.left) * across))
    top = min(target.top, math.ceil((source.top - seen.top) * down))
    right = min(canvas.width - target.right, math.ceil((seen.right - source.right) * across))
    bottom = min(canvas.height - target.bottom, math.ceil((seen.bottom - source.bottom) * down))
    part = (
        source.left - left / across,
        source.top - top / down,
        source.right + right / across,
        source.bottom + bottom / down,
    )
    size = Size(left + target.width + right, top + target.height + bottom)
    small = _resized(cutout, part, size, mixed=mixed)
    if mixed:
        small = decontaminate(small[..., :3], small[..., 3])
    whole = Image.new("RGBA", canvas)
    whole.paste(Image.fromarray(small), (target.left - left, target.top - top))
    return np.asarray(whole)


def _seen(cutout: Image.Image, rim: int) -> Box:
    """The box of what is not clear, with a rim around as far as the picture reaches: soft edges are mixed with that."""
    box = _box(np.asarray(cutout.getchannel("A")) > 0)
    left, top = max(0, box.left - rim), max(0, box.top - rim)
    right, bottom = min(cutout.width, box.right + rim), min(cutout.height, box.bottom + rim)
    return Box(left, top, right - left, bottom - top)


def _box(shown: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def _resized(cutout: Image.Image, part: Part, size: Size, *, mixed: bool) -> Pixels:
    """A part of a cutout at another size, (H, W, 4).

    Alphas are resized by a filter without negative weights: they would make the product see-through a few pixels inside
    of a hard edge.

    Args:
        cutout: RGBA.
        part: of it; it may reach beyond by less than one of the new pixels, where the outermost pixels are repeated.
        size: of the result.
        mixed: the colours of clear pixels are the background's, and count; else colours are weighted by alpha.
    """
    if size == (part[2] - part[0], part[3] - part[1]) and all(edge == int(edge) for edge in part):
        return np.asarray(cutout.crop(part))
    times = min((part[2] - part[0]) / size.width, (part[3] - part[1]) / size.height)
    if (factor := int(times / SPARE)) > 1:  # less memory, and less time
        left, top, right, bottom = part
        cutout = _reduced(cutout, factor, mixed=mixed)
        part = left / factor, top / factor, right / factor, bottom / factor
    pixels, part = _around(np.asarray(cutout), part, size)
    share = pixels[..., 3].astype(np.float32) / np.float32(255)
    shown = _plane(share, size, Image.Resampling.HAMMING, part)
    weights = np.ones_like(share) if mixed else share
    sharp, soft = (_plane(weights, size, way, part) for way in (Image.Resampling.LANCZOS, Image.Resampling.HAMMING))
    inside = soft >= OPAQUE  # where so much weight is around that dividing by it is safe
    resized = np.zeros((size.height, size.width, 4), np.uint8)
    for channel in range(3):
        levels = pixels[..., channel].astype(np.float32) * weights
        colour = np.where(
            inside,
            _plane(levels, size, Image.Resampling.LANCZOS, part) / np.maximum(sharp, 0.5),
            _plane(levels, size, Image.Resampling.HAMMING, part) / np.maximum(soft, 1e-6),
        )
        resized[..., channel] = _levels(colour)
    resized[..., 3] = _levels(np.float32(255) * shown)
    return resized


def _reduced(cutout: Image.Image, factor: int, *, mixed: bool) -> Image.Image:
    """A cutout at 1/factor of its size; Pillow weights colours by alpha, which would lose a photo's background."""
    if not mixed:
        return cutout.reduce(factor)
    small = cutout.convert("RGB").reduce(factor)
    small.putalpha(cutout.getchannel("A").reduce(factor))
    return small


def _plane(values: NDArray[np.float32], size: Size, way: Image.Resampling, part: Part) -> NDArray[np.float32]:
    """A part of values (H, W) at another size."""
    return np.asarray(Image.fromarray(values).resize(size, way, box=part))


def _levels(values: NDArray[np.float32]) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _around(pixels: Pixels, part: Part, size: Size) -> tuple[Pixels, Part]:
    """The pixels (H, W, 4) that a part is made of, the outermost repeated where it reaches beyond; the part in them."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = part
    reach = math.ceil(SUPPORT * max(1, (right - left) / size.width, (bottom - top) / size.height))
    first, last = max(0, math.floor(left) - reach), min(width, math.ceil(right) + reach)
    upper, lower = max(0, math.floor(top) - reach), min(height, math.ceil(bottom) + reach)
    before = max(0, math.ceil(-left)), max(0, math.ceil(-top))
    behind = max(0, math.ceil(right) - width), max(0, math.ceil(bottom) - height)
    near = np.pad(
        pixels[upper:lower, first:last], ((before[1], behind[1]), (before[0], behind[0]), (0, 0)), mode="edge"
    )
    across, down = before[0] - first, before[1] - upper
    return near, (left + across, top + down, right + across, bottom + down)
