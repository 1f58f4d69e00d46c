"""The ground below a product: where it touches its scene, and whether there is any.

Of a product only the mask is known, so the contact is read from its lower outline: a column of pixels touches the
ground where the outline rises towards it, from the lowest point, by no more than the slope that a base seen from
above has. Legs behind the front ones and the sides of a box count, the belly of a bottle doesn't.

There is no ground to cast a shadow on

- where the product ends at the picture's lower border: what it stands on is outside of the picture;
- where it ends in the picture's upper half: it hangs or floats;
- where the scene has a clear horizon (one row that divides it into two colours, sharply) and the product ends above it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.compositing.outline import HALF
from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

SLOPE = 0.7  # most that a base's outline rises a pixel sideways: 35 degrees
RISE = 0.3  # and at most in all, in the product's height; what is higher touches less
SPECK = 0.01  # parts of less than this share of the product's area are not looked at
BORDER = 0.01  # nearer to the lower border than this, in the picture's height, the product ends there
SMALL = 128  # longest side on which the horizon is looked for, pixels
DIVIDED = 0.6  # share of the rows' variance in colour that a horizon explains
APART = 10  # CIEDE2000 of the colours above and below it
SHARP = 0.5  # share of their distance that lies within a few rows
WINDOW = 0.03  # these rows, in the picture's height
NEAR = 0.02  # a horizon this little below the product counts as where it stands, in the picture's height


class Contact(NamedTuple):
    """The pixels of a product's lower outline that touch the ground.

    Attributes:
        columns: (N,), ascending.
        rows: (N,), the lowest row of the product in each.
        weights: (N,), 0 to 1: 1 at the lowest point, less where the outline is higher.
    """

    columns: NDArray[np.intp]
    rows: NDArray[np.intp]
    weights: NDArray[np.float64]


def contact(mask: Pixels) -> Contact | None:
    """The place where a product of a mask (H, W) touches the ground; none: there is no product."""
    product = _without_specks(mask >= HALF)
    columns = np.flatnonzero(product.any(axis=0))
    if not columns.size:
        return None
    rows = len(mask) - 1 - np.argmax(product[::-1, columns], axis=0)
    top = int(np.argmax(product.any(axis=1)))
    lowest = rows.max()
    at = np.flatnonzero(rows == lowest)
    middle = columns[at[len(at) // 2]]
    rise = (lowest - rows).astype(np.float64)
    slope = rise <= SLOPE * np.abs(columns - middle) + 1
    weights = np.where(slope, np.sqrt(np.maximum(1 - rise / max(1.0, RISE * (lowest + 1 - top)), 0)), 0)
    touching = weights > 0
    return Contact(columns[touching], rows[touching], weights[touching])


def missing_ground(picture: Pixels, mask: Pixels, found: Contact) -> str | None:
    """The reason why there is no ground under a product, in a few words; none: there is.

    Args:
        picture: (H, W, 3), the product in its scene.
        mask: (H, W), 255 where the product is.
        found: where the product ends.
    """
    height, lowest = len(mask), int(found.rows.max())
    if height - 1 - lowest < max(1, round(BORDER * height)):
        return "the product ends at the picture's lower border"
    if lowest + 1 < height / 2:
        return "the product ends in the picture's upper half"
    line = horizon(picture, mask)
    if line is not None and line > lowest + 1 + NEAR * height:
        return "the product ends above the scene's horizon"
    return None


def horizon(picture: Pixels, mask: Pixels) -> float | None:
    """The row at which the scene's ground begins, 0 to H; none: no row divides the scene clearly.

    Args:
        picture: (H, W, 3).
        mask: (H, W), 255 where the product is, whose pixels don't count.
    """
    scale = min(1.0, SMALL / max(mask.shape))
    small = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    colours = lab(np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8))
    scene = (cv2.resize(mask, small, interpolation=cv2.INTER_AREA) == 0)[..., None]
    counts = scene.sum(axis=(1, 2))
    seen = np.flatnonzero(counts * 4 >= small[0])  # rows of which a quarter is scene
    window = max(2, round(WINDOW * small[1]))
    if len(seen) < 4 * window:
        return None
    rows = (colours * scene).sum(axis=1)[seen] / counts[seen, None]  # (R, 3)
    total = np.square(rows - rows.mean(axis=0)).sum()
    places = np.arange(window, len(rows) - window + 1)
    sums, count = np.cumsum(rows, axis=0), len(rows)
    above = sums[places - 1] / places[:, None]
    below = (sums[-1] - sums[places - 1]) / (count - places)[:, None]
    between = (places * (count - places) / count) * np.square(above - below).sum(axis=1)
    best = int(between.argmax())
    if total <= 0 or between[best] < DIVIDED * total or ciede2000(above[best], below[best]) < APART:
        return None
    place = int(places[best])
    step = rows[place : place + window].mean(axis=0) - rows[place - window : place].mean(axis=0)
    if np.linalg.norm(step) < SHARP * np.linalg.norm(below[best] - above[best]):
        return None
    return float(seen[place] / small[1] * len(mask))


def _without_specks(product: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A product (H, W) without its smallest parts."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(product.view(np.uint8))
    areas = facts[:, cv2.CC_STAT_AREA]
    large = areas >= SPECK * areas[1:].sum()
    large[0] = False
    return np.asarray(large[labels]) if count > 2 else product
