"""The product's light brought towards the scene's: a gain of red, green and blue in linear light, which can be undone.

A pixel's light x, 0 to 1, becomes g x / (1 + (g - 1) x). That is a gain of g where it is dark, and white stays white:
nothing is ever cut off, as an offset in CIELAB would, so that the same map with 1 / g gives every level back. A pixel
of weight w, 0 to 1, gets g ** w.

The gains are those that bring the mean of the changed pixels, in each channel, to that of the scene's ring around the
product, to the power of the wanted strength. They are made smaller together, so that their tint stays, until all are
between 2/3 and 3/2, which keeps the 256 levels far enough apart to undo within one level, and the pixels differ by no
more than is allowed. The ring's mean is the colour of things as much as of light: that is why both are bounded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.compositing.levels import LINEAR, Light, encoded
from p2i_ray.compositing.outline import Weights
from p2i_ray.data.images import Pixels
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

MOST = np.log(1.5)  # of a gain
SOUGHT = np.log(100)  # between which a gain is looked for
HALVINGS = 32  # of the interval in which a gain is looked for
TRIES = 6  # of the scale that keeps the difference within its bound
DRAWN = 16_384  # pixels from which that is found
MARGIN = 0.98  # of the bound, for what the others differ by

Table = NDArray[np.uint8]  # (256 weights, 256 levels, 3 channels): the new level


class Gains(NamedTuple):
    """The changes to a product's light: all that is needed, beside the weights, to undo them."""

    red: float
    green: float
    blue: float


def gains(picture: Pixels, weights: Weights, scene: NDArray[np.bool_], *, strength: float, most: float) -> Gains | None:
    """The gains that bring the product's light towards the scene's; none: one of them has no pixels.

    Args:
        picture: (H, W, 3), the product in its scene.
        weights: (H, W), of the pixels that are to change.
        scene: (H, W), the pixels that they are compared with.
        strength: 0 to 1, see above.
        most: CIEDE2000 on average, over the pixels that have a weight.
    """
    changed = weights > 0
    if not changed.any() or not scene.any():
        return None
    levels, wanted = _histograms(picture[changed]), LINEAR @ _histograms(picture[scene]).T
    logs = strength * np.array([_gain(own, mean) for own, mean in zip(levels, wanted, strict=True)])
    logs *= min(1.0, MOST / max(np.abs(logs).max(), MOST))
    some = _some(np.flatnonzero(changed))
    pixels, weight = picture.reshape(-1, 3)[some], weights.ravel()[some]
    return Gains(*np.exp(logs * _scale(pixels, weight, logs, MARGIN * most)).tolist())


def apply(picture: Pixels, weights: Weights, found: Gains) -> Pixels:
    """A picture (H, W, 3) with the light of its weighted pixels changed; the others stay, bit for bit."""
    return _mapped(picture, weights, _table(np.log(found)))


def undo(picture: Pixels, weights: Weights, found: Gains) -> Pixels:
    """The picture (H, W, 3) that `apply` was given, of what it returned: within one level of 255."""
    return _mapped(picture, weights, _table(-np.log(found)))


def difference(before: Pixels, after: Pixels, weights: Weights) -> float:
    """The mean CIEDE2000, 0 or more, between two pictures over the pixels that have a weight.

    Args:
        before: (H, W, 3).
        after: (H, W, 3).
        weights: (H, W); of pixels with one at most 16,384 are compared, drawn evenly.
    """
    some = _some(np.flatnonzero(weights))
    if not some.size:
        return 0.0
    return _apart(before.reshape(-1, 3)[some], after.reshape(-1, 3)[some])


def _mapped(picture: Pixels, weights: Weights, table: Table) -> Pixels:
    changed = weights > 0
    result = picture.copy()
    result[changed] = table[weights[changed, None], picture[changed], np.arange(3)]
    return result


def _table(logs: Light) -> Table:
    """The new level of each weight, level and channel, of the logarithms (3,) of the gains."""
    factors = np.exp(np.arange(256)[:, None, None] / 255 * logs)  # (256, 1, 3)
    light = LINEAR[None, :, None]
    table = np.rint(encoded(factors * light / (1 + (factors - 1) * light))).astype(np.uint8)
    return np.asarray(table)


def _histograms(pixels: Pixels) -> Light:
    """The share of each level (3, 256) in the channels of pixels (N, 3)."""
    return np.stack([np.bincount(channel, minlength=256) for channel in pixels.T]) / len(pixels)


def _gain(shares: Light, mean: float) -> float:
    """The logarithm of the gain that gives levels with these shares (256,) a mean in linear light."""
    low, high = -SOUGHT, SOUGHT
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        factor = np.exp(middle)
        if shares @ (factor * LINEAR / (1 + (factor - 1) * LINEAR)) < mean:
            low = middle
        else:
            high = middle
    return float((low + high) / 2)


def _scale(pixels: Pixels, weights: Weights, logs: Light, most: float) -> float:
    """The factor, 0 to 1, of the gains' logarithms (3,) with which pixels (N, 3) differ by no more than `most`."""
    scale = 1.0
    for _ in range(TRIES):
        changed = _table(scale * logs)[weights[:, None], pixels, np.arange(3)]
        apart = _apart(pixels, changed)
        if apart <= most:
            return scale
        scale *= 0.97 * most / apart  # the difference is nearly in proportion
    return 0.0


def _some(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most `DRAWN` of these places, the same each time."""
    if len(places) <= DRAWN:
        return places
    return np.asarray(np.random.default_rng(0).choice(places, DRAWN, replace=False))


def _apart(one: Pixels, other: Pixels) -> float:
    return float(ciede2000(lab(one), lab(other)).mean())
