"""The rules that look at one photo. Each says in its reason what it measured and which setting it goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.images import ImageError, Pixels, check_size

CLEAR = 8  # alpha below which no product shines through
Cover = Callable[[Pixels], Pixels]  # picture (H, W, 3) to where something is, (H, W), 255 or 0


@dataclass(frozen=True)
class Rules:
    """The rules that are switched on.

    Args:
        settings: their limits.
        text: where text is; none: not looked for.
        people: where people are; none: not looked for.
    """

    settings: CleaningConfig
    text: Cover | None = None
    people: Cover | None = None

    def check_photo(self, encoded: bytes, image: ImageConfig) -> None:
        """Look at a photo's header.

        Raises:
            ImageError: the photo is too small.
        """
        least = self.settings.min_side
        if least and min(size := check_size(encoded, image)) < least:
            raise ImageError(f"too small: {size[0]}x{size[1]} pixels; ingest.cleaning.min_side={least}")

    def check_scene(self, picture: Pixels, mask: Pixels) -> None:
        """Look at the background of a scene.

        Args:
            picture: (H, W, 3).
            mask: the product's, (H, W).

        Raises:
            ImageError: the background is too plain, or text or people cover too much of it.
        """
        background, clear = mask < 128, mask < CLEAR
        if not clear.any():
            return
        least = self.settings.min_variation
        if least and (variation := variation_of(picture, clear)) < least:
            raise ImageError(
                f"too plain: the background's brightness varies by {variation:.1f} levels; "
                f"ingest.cleaning.min_variation={least:g}"
            )
        for what, cover, most, setting in (
            ("text in the background", self.text, self.settings.max_text, "max_text"),
            ("people in the background", self.people, self.settings.max_people, "max_people"),
        ):
            if cover is None or most is None:
                continue
            share = float((cover(picture) >= 128)[background].mean())
            if share > most:
                raise ImageError(f"{what}: on {share:.1%} of it; ingest.cleaning.{setting}={most:g}")


def variation_of(picture: Pixels, background: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> float:
    """Standard deviation of the background's brightness, levels of 255.

    Args:
        picture: (H, W, 3).
        background: (H, W), some of it true.
    """
    brightness = np.asarray(Image.fromarray(picture).convert("L"), np.float32)  # (H, W)
    return float(brightness[background].std())
