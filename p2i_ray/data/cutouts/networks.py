"""The common part of cutters with a network: masks at the photos' sizes, a cut of the mirrored photo, the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.settings import Levels
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels

FAINT = 8  # alpha below which a pixel of a network's mask is clear
Plane = NDArray[np.float32]  # (h, w), the probability of product, 0..1


def cut(
    photos: Sequence[Pixels], planes: Callable[[Sequence[Pixels]], list[Plane]], twice: bool
) -> list[Cut | ImageError]:
    """Cut photos (H, W, 3) by a function that gives each one's plane of probabilities, of any size.

    Args:
        photos: of any sizes.
        planes: the network.
        twice: also cut the mirrored photos, and compare.
    """
    if not photos:
        return []
    first = planes(photos)
    if not twice:
        return [_cut(photo, plane, None) for photo, plane in zip(photos, first, strict=True)]
    second = planes([np.ascontiguousarray(photo[:, ::-1]) for photo in photos])
    return [_cut(*each) for each in zip(photos, first, second, strict=True)]


def prepared(photo: Pixels, size: tuple[int, int], mean: Levels, *, std: Levels) -> NDArray[np.float32]:
    """A photo (H, W, 3) as a network's input (3, *size): stretched, of levels 0..1 less `mean`, divided by `std`."""
    height, width = size
    shrinks = photo.shape[0] >= height and photo.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    stretched = np.asarray(cv2.resize(photo, (width, height), interpolation=interpolation), np.float32)
    values = (stretched / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.asarray(values.transpose(2, 0, 1), np.float32)


def difference(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The share, 0..1, of what either mask (H, W) calls product and the other does not; 0 where both are empty."""
    either = int((one | other).sum())
    return float((one ^ other).sum() / either) if either else 0.0


def _cut(photo: Pixels, first: Plane, second: Plane | None) -> Cut | ImageError:
    if not np.isfinite(first).all():
        return ImageError("no product found: the network's answer is not finite")
    if first.max() < 0.5:
        return ImageError(f"no product found: the network's surest pixel has {first.max():.2f}, below 0.5")
    height, width = photo.shape[:2]
    shrinks = width <= first.shape[1] and height <= first.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    plane = np.asarray(cv2.resize(first, (width, height), interpolation=interpolation))
    apart = None if second is None else difference(first >= 0.5, second[:, ::-1] >= 0.5)
    return Cut(_without_haze((plane * 255).round().clip(0, 255).astype(np.uint8)), apart)


def _without_haze(mask: Pixels) -> Pixels:
    """A mask (H, W) without what is almost clear, and without faint parts that hang together with no product."""
    visible = (mask >= FAINT).astype(np.uint8)
    count, parts = cv2.connectedComponents(visible, connectivity=8)
    sure = np.zeros(count, bool)
    sure[np.unique(parts[mask >= 128])] = True
    sure[0] = False  # what is not visible
    return np.where(sure[parts], mask, 0).astype(np.uint8)
