"""8-bit sRGB levels and linear light, 0 to 1 (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

Light = NDArray[np.float64]

GAMMA = 2.2  # of sRGB on the whole: a factor f of light is f ** (1 / 2.2) of levels
_LEVELS = np.arange(256) / 255
LINEAR: Light = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4)  # of each level
WEIGHTS = (0.2126, 0.7152, 0.0722)  # of red, green and blue in luminance (BT.709)


def encoded(light: Light) -> Light:
    """Levels (...), 0 to 255, not rounded, of linear light (...), 0 to 1."""
    low = light <= 0.0031308
    return np.asarray(255 * np.where(low, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055))


def luminance(picture: Pixels) -> NDArray[np.float32]:
    """Relative luminance (H, W), 0 to 1, of pixels (H, W, 3)."""
    red, green, blue = (LINEAR.astype(np.float32) * np.float32(weight) for weight in WEIGHTS)
    return np.asarray(red[picture[..., 0]] + green[picture[..., 1]] + blue[picture[..., 2]])
