"""CIEDE2000: the difference of two colours as people see it (Luo, Cui and Rigg 2001; Sharma, Wu and Dalal 2005).

About 1 is just noticeable side by side, 100 is black against white.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

Values = NDArray[np.float64]

# sRGB (IEC 61966-2-1) under D65, 2 degree observer
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])
EPSILON, KAPPA = 216 / 24389, 24389 / 27


def lab(pixels: Pixels) -> Values:
    """CIELAB of sRGB pixels (..., 3), uint8: L* 0..100, a* and b* about -128..128."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)[pixels]
    xyz = linear @ TO_XYZ.T / WHITE
    x, y, z = np.moveaxis(np.where(xyz > EPSILON, np.cbrt(xyz), (KAPPA * xyz + 16) / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


class _Polar(NamedTuple):
    """Lightness, and chroma and hue (radians) of the corrected a'."""

    lightness: Values
    chroma: Values
    hue: Values


def ciede2000(one: Values, other: Values) -> Values:
    """The difference of CIELAB colours (..., 3) and (..., 3), with kL = kC = kH = 1: (...), 0 or more."""
    chromas = (np.hypot(one[..., 1], one[..., 2]) + np.hypot(other[..., 1], other[..., 2])) / 2
    stretch = 1 + 0.5 * (1 - _saturation(chromas))
    a, b = _polar(one, stretch), _polar(other, stretch)
    grey = a.chroma * b.chroma == 0  # a hue is undefined
    turn = b.hue - a.hue
    turn = np.where(grey, 0, np.where(turn > np.pi, turn - 2 * np.pi, np.where(turn < -np.pi, turn + 2 * np.pi, turn)))
    hue_sum = a.hue + b.hue
    around = np.where(hue_sum < 2 * np.pi, hue_sum + 2 * np.pi, hue_sum - 2 * np.pi)
    hue = np.where(grey, hue_sum, np.where(np.abs(a.hue - b.hue) <= np.pi, hue_sum, around) / 2)
    return _weighted(
        (a.lightness + b.lightness) / 2,
        (a.chroma + b.chroma) / 2,
        hue,
        (b.lightness - a.lightness, b.chroma - a.chroma, 2 * np.sqrt(a.chroma * b.chroma) * np.sin(turn / 2)),
    )


def _weighted(lightness: Values, chroma: Values, hue: Values, apart: tuple[Values, Values, Values]) -> Values:
    """The differences of lightness, chroma and hue, weighted by the means of both colours, as one."""
    t = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.pi / 30)
        - 0.20 * np.cos(4 * hue - np.radians(63))
    )
    middle = np.square(lightness - 50)
    light = apart[0] / (1 + 0.015 * middle / np.sqrt(20 + middle))
    colourful = apart[1] / (1 + 0.045 * chroma)
    turned = apart[2] / (1 + 0.015 * chroma * t)
    blue = np.radians(30) * np.exp(-np.square((np.degrees(hue) - 275) / 25))
    rotation = -2 * _saturation(chroma) * np.sin(2 * blue)
    total = np.square(light) + np.square(colourful) + np.square(turned) + rotation * colourful * turned
    return np.asarray(np.sqrt(np.maximum(total, 0)))


def _polar(colours: Values, stretch: Values) -> _Polar:
    a, b = colours[..., 1] * stretch, colours[..., 2]
    return _Polar(colours[..., 0], np.hypot(a, b), np.arctan2(b, a) % (2 * np.pi))


def _saturation(chroma: Values) -> Values:
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
