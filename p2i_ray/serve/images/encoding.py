"""Generated images as a client gets them: PNG, JPEG or WebP, with their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2i_ray.serve.images.protocol import Verdict

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
        compositing: what was done to its shadow and light, where something was to be done.
    """

    encoded: bytes
    seed: int
    verdict: Verdict | None = None
    expansion: float | None = None
    style: float | None = None
    compositing: dict[str, Any] | None = None

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
        if self.compositing:
            fields["compositing"] = self.compositing
        return fields
