"""Pictures as the judge sees them: opaque RGB, at most as large as the painter's."""

from __future__ import annotations

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data import images

WHITE = (255, 255, 255)  # what a shop's page shows behind a transparent picture


def fit(encoded: bytes | None, limits: ImageConfig) -> bytes:
    """Check an encoded picture, and make it small and opaque where it isn't; else its bytes stay as they are.

    Raises:
        ImageError: it can't be decoded within the limits.
    """
    image = images.decode(encoded, limits)
    assert encoded
    if image.mode == "RGB" and max(image.size) <= limits.resolution:
        return encoded
    if image.mode == "RGBA":
        page = Image.new("RGB", image.size, WHITE)
        page.paste(image, mask=image.getchannel("A"))
        image = page
    image.thumbnail((limits.resolution, limits.resolution), Image.Resampling.BICUBIC)
    return images.encode_png(np.asarray(image))
