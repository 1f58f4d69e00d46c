"""Generated images as a client gets them: PNG, JPEG or WebP, with their metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from p2i_ray.data.images import Pixels, encode_png
from p2i_ray.serve.images.protocol import Verdict

QUALITY = 95  # of JPEG and WebP where the client asks for none
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True)
class GeneratedImage:
    """An encoded image.

    Attributes:
        encoded: the file's content.
        seed: with n=1, it gives this image again.
        verdict: the judge's, where images were ranked.
        expansion: growth of the product, fraction of its area, where that was requested.
        style: similarity of its background to the reference's, -1 to 1, where images were ranked by it.
    """

    encoded: bytes
    seed: int
    verdict: Verdict | None = None
    expansion: float | None = None
    style: float | None = None

    def metadata(self) -> dict[str, Any]:
        """The response's fields besides the content."""
        fields: dict[str, Any] = {"seed": self.seed}
        if self.verdict is not None:
            score = self.verdict.score
            fields |= {"score": None if score is None else round(score, 4), "reason": self.verdict.reason}
        if self.style is not None:
            fields["style"] = round(self.style, 4)
        if self.expansion is not None:
            fields["expansion"] = round(self.expansion, 4)
        return fields


def encode(pixels: Pixels, output_format: str, quality: int | None = None) -> bytes:
    """Encode an image (H, W, 3) as PNG, JPEG or WebP; the same pixels give the same bytes.

    Args:
        pixels: the image.
        output_format: png, jpeg or webp.
        quality: of JPEG or WebP, 0 to 100; WebP of 100 is lossless, any other changes pixels a little.
    """
    if output_format == "png":
        return encode_png(pixels)
    out = io.BytesIO()
    chosen = QUALITY if quality is None else quality
    if output_format == "jpeg":
        Image.fromarray(pixels).save(out, "JPEG", quality=max(chosen, 1), subsampling=0)
    else:
        Image.fromarray(pixels).save(out, "WEBP", quality=chosen, lossless=chosen == 100)
    return out.getvalue()
