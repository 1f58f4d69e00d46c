"""A contact shadow: the scene darkened around where the product touches its ground.

Two blurs of the contact line are laid over each other: a narrow dark one, where hardly any light gets between product
and ground, and a wide soft one, which is shifted away from the light. Both are flat ellipses, as a ground seen from
the front is. They darken the scene's own light by a factor, so that its texture stays; the product's pixels stay as
they are, and of a soft pixel at its edge the scene's share is darkened alone.

A scene that is already darker along the contact than a quarter of it is beside has a shadow: only what is missing is
added.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.compositing.ground import Contact
from p2i_ray.compositing.levels import GAMMA, luminance
from p2i_ray.compositing.outline import size_of
from p2i_ray.data.images import Pixels

Occlusion = NDArray[np.float32]  # (H, W), 0: all the light arrives, 1: none

# Widths are in the product's size: the root of its area, or the contact's length where that is less.
NARROW, NARROW_DEPTH = (0.035, 0.018), 0.75  # deviations sideways and up and down; share of the light that it takes
WIDE, WIDE_DEPTH = (0.16, 0.075), 0.6
SHIFT = 0.15  # of the wide one, away from light that comes from one side alone
DROP = 0.03  # of the wide one, towards the viewer
FULL = 0.8  # share of the blur's maximum that counts as all of it: a corner is no darker than a long edge
COARSE = 3  # deviation up and down, pixels, at which a blur is computed
DARKER = 0.25  # share of the ground beside the product than which its shadow is darker
UNSEEN = 0.996  # what is left of light from which not one level changes
NEAR, FAR = 0.5, 0.03  # shares of the deepest occlusion: beside the contact; where the scene is as it was


def occlusion(mask: Pixels, found: Contact, side: float) -> Occlusion:
    """Share of its light that a product takes from its ground, (H, W).

    Args:
        mask: (H, W), 255 where the product is.
        found: where it touches the ground.
        side: where the light comes from, -1 (left) to 1 (right).
    """
    length = float(found.columns.max() - found.columns.min() + 1)
    size = min(size_of(mask), max(length, 0.4 * size_of(mask)))
    line = np.zeros(mask.shape, np.float32)
    line[found.rows, found.columns] = found.weights
    thick = max(1, round(NARROW[1] * size))
    line = np.asarray(cv2.dilate(line, np.ones((2 * thick + 1, 1), np.uint8)), np.float32)
    narrow = _blurred(line, NARROW, size)
    wide = _moved(_blurred(line, WIDE, size), -SHIFT * side * size, DROP * size)
    return np.asarray(1 - (1 - NARROW_DEPTH * narrow) * (1 - WIDE_DEPTH * wide), np.float32)


def missing_share(picture: Pixels, mask: Pixels, shade: Occlusion, strength: float) -> float:
    """The strength that is left to apply, 0 to `strength`, where the scene is dark along the contact already.

    Args:
        picture: (H, W, 3), the product in its scene.
        mask: (H, W), 255 where the product is.
        shade: see `occlusion`.
        strength: that is wanted, 0 to 1.
    """
    scene, deepest = mask == 0, float(shade.max())
    near = scene & (shade >= NEAR * deepest)
    rows = np.flatnonzero(near.any(axis=1))
    if not rows.size:
        return strength
    far = scene & (shade <= FAR * deepest)
    far[: rows[0]] = far[rows[-1] + 1 :] = False  # on the same ground
    if not far.any():
        return strength
    light = luminance(picture)
    beside = float(np.quantile(light[far], DARKER))  # what texture alone does is no shadow
    present = 1 - min(1.0, float(np.median(light[near])) / beside) if beside > 0 else 0.0
    usual = float(np.median(shade[near]))
    return float(np.clip(strength - present / usual, 0, strength))


def darken(picture: Pixels, product: Pixels, mask: Pixels, factor: NDArray[np.float32]) -> Pixels:
    """A picture (H, W, 3) whose scene has less light; pixels that are wholly the product's stay, bit for bit.

    Args:
        picture: the product in its scene, I = a F + (1 - a) B.
        product: (H, W, 3), F.
        mask: (H, W), a.
        factor: (H, W), what is left of B's light, 0 to 1.
    """
    changed = (mask < 255) & (factor < UNSEEN)
    if not changed.any():
        return picture
    share = mask[changed, None].astype(np.float32) / 255
    seen = picture[changed].astype(np.float32)
    scene = np.clip(seen - share * product[changed], 0, 255 * (1 - share))  # (1 - a) B
    left = factor[changed, None] ** (1 / GAMMA)
    result = picture.copy()
    result[changed] = np.rint(seen - (1 - left) * np.minimum(scene, seen)).astype(np.uint8)
    return result


def _blurred(line: Occlusion, deviations: tuple[float, float], size: float) -> Occlusion:
    """A line blurred so far, 1 at most along it; what lies outside of the picture is nothing."""
    height, width = line.shape
    across, down = (max(0.6, part * size) for part in deviations)
    scale = min(1.0, COARSE / down)  # a blur has no detail that a smaller picture would lose, and costs less there
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    soft = cv2.GaussianBlur(
        cv2.resize(line, small, interpolation=cv2.INTER_AREA),
        (0, 0),
        sigmaX=across * small[0] / width,
        sigmaY=down * small[1] / height,
        borderType=cv2.BORDER_CONSTANT,
    )
    full = FULL * float(soft.max())
    if full <= 0:
        return np.zeros_like(line)
    wide = np.asarray(cv2.resize(soft, (width, height)), np.float32)
    return np.asarray(np.minimum(wide / full, 1), np.float32)


def _moved(shade: Occlusion, right: float, down: float) -> Occlusion:
    """An occlusion shifted by so many pixels; what comes in at a border goes on as it was there."""
    matrix, size = np.array([[1, 0, right], [0, 1, down]], np.float64), (shade.shape[1], shade.shape[0])
    return np.asarray(cv2.warpAffine(shade, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32)
