"""Generated images as a client gets them: PNG, JPEG or WebP, with their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2i_ray.config.shapes import Size
from p2i_ray.config.truth import TruthConfig
from p2i_ray.serve.images.protocol import Verdict
from p2i_ray.serve.images.truth import TruthReport

SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True)
class GeneratedImage:
    """An encoded image.

    Attributes:
        encoded: the file's content.
        seed: with n=1, it gives this image again.
        size: of the file, pixels.
        canvas: size of the canvas that it was cut from, pixels.
        crop: the ratio that was asked for, where several were.
        lowered: its quality, where the usual one made too large a file.
        verdict: the judge's, where images were ranked.
        report: how true it is to its product.
        limits: of a faultless one.
        check_expansion: the growth of the product was asked for, and stands beside the report, too.
        style: similarity of its background to the reference's, -1 to 1, where images were ranked by it.
        compositing: what was done to its shadow and light, where something was to be done.
        painted_as: the trained category that stood in for one that was not.
    """

    encoded: bytes
    seed: int
    size: Size
    canvas: Size
    report: TruthReport
    limits: TruthConfig
    crop: str | None = None
    lowered: int | None = None
    verdict: Verdict | None = None
    check_expansion: bool = False
    style: float | None = None
    compositing: dict[str, Any] | None = None
    painted_as: str | None = None

    def metadata(self) -> dict[str, Any]:
        """The response's fields besides the content."""
        fields: dict[str, Any] = {"seed": self.seed, "size": str(self.size), "canvas": str(self.canvas)}
        if self.crop is not None:
            fields["crop"] = self.crop
        if self.lowered is not None:
            fields["output_compression"] = self.lowered
        if self.verdict is not None:
            score = self.verdict.score
            fields |= {"score": None if score is None else round(score, 4), "reason": self.verdict.reason}
            if self.verdict.preference is not None:
                fields["preference"] = round(self.verdict.preference, 4)
        if self.style is not None:
            fields["style"] = round(self.style, 4)
        if self.painted_as is not None:
            fields["painted_as"] = self.painted_as
        if self.check_expansion:
            fields["expansion"] = round(self.report.expansion, 4)
        if self.compositing:
            fields["compositing"] = self.compositing
        return {**fields, "truth": self.report.metadata(self.limits)}
