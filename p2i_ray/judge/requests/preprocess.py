"""Pictures as the judge sees them: opaque RGB, at most as large as those of the diffusion model."""

from __future__ import annotations

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data import images

WHITE = (255, 255, 255)  # the usual background of a web page behind a transparent picture


def fit(encoded: bytes | None, limits: ImageConfig) -> bytes:
    """Check an encoded picture, and downscale and flatten it where needed; otherwise its bytes are returned unchanged.

    Raises:
        ImageError: it can't be decoded within the limits.
    """
    image = images.decode(encoded, limits, at_least=2 * limits.resolution)
    assert encoded
    if image.mode == "RGB" and max(image.size) <= limits.resolution:
        return encoded
    if image.mode == "RGBA":
        background = Image.new("RGB", image.size, WHITE)
        background.paste(image, mask=image.getchannel("A"))
        image = background
    image.thumbnail((limits.resolution, limits.resolution), Image.Resampling.BICUBIC)
    return images.encode_png(np.asarray(image))
