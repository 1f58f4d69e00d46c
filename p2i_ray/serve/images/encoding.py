"""Painted pictures as a client gets them: PNG, JPEG or WebP, and what is said of each."""

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
    """A finished picture.

    Attributes:
        encoded: the file's content.
        seed: asked for again with n=1, it gives this picture.
        verdict: the judge's, where pictures were ranked.
        expansion: how much the product grew, share of its area, where that was asked for.
    """

    encoded: bytes
    seed: int
    verdict: Verdict | None = None
    expansion: float | None = None

    def said(self) -> dict[str, Any]:
        """What is said of it beside its content."""
        said: dict[str, Any] = {"seed": self.seed}
        if self.verdict is not None:
            score = self.verdict.score
            said |= {"score": None if score is None else round(score, 4), "reason": self.verdict.reason}
        if self.expansion is not None:
            said["expansion"] = round(self.expansion, 4)
        return said


def encode(pixels: Pixels, output_format: str, quality: int | None = None) -> bytes:
    """A picture (H, W, 3) as PNG, JPEG or WebP; the same pixels give the same bytes.

    Args:
        pixels: the picture.
        output_format: png, jpeg or webp.
        quality: of JPEG or WebP, 0 to 100.
    """
    if output_format == "png":
        return encode_png(pixels)
    out = io.BytesIO()
    chosen = QUALITY if quality is None else quality
    if output_format == "jpeg":
        Image.fromarray(pixels).save(out, "JPEG", quality=max(chosen, 1), subsampling=0)
    else:
        Image.fromarray(pixels).save(out, "WEBP", quality=chosen)
    return out.getvalue()
