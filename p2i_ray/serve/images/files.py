"""The files of an accepted image, one for each frame, with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.provenance.marker import Marker, encode
from p2i_ray.serve.images import truth
from p2i_ray.serve.images.candidates import AcceptedImage
from p2i_ray.serve.images.finishing import cut_to, file_within
from p2i_ray.serve.images.framing import Frame
from p2i_ray.serve.images.params import EditParams
from p2i_ray.serve.images.truth import TruthReport


@dataclass(frozen=True)
class FrameFile:
    """A frame's file, its quality where that was lowered, and how true it is to its product."""

    encoded: bytes
    lowered: int | None
    report: TruthReport


def frame_file(
    params: EditParams,
    frame: Frame,
    *,
    accepted: AcceptedImage,
    asked: PaintRequest,
    report: TruthReport,
    marker: Marker | None,
) -> FrameFile:
    """Cut, encode and mark a frame; where the format loses something, that is measured on the file. For a thread.

    Args:
        params: of the request.
        frame: of the canvas.
        accepted: the image.
        asked: with the product and its mask, on the canvas.
        report: of the image as it was painted.
        marker: encodes with marks (none: without).

    Raises:
        APIError: the file is too large for its marketplace in any quality.
    """
    pixels = cut_to(accepted.image.pixels, frame)

    def file(quality: int | None) -> bytes:
        if marker is None:
            return encode(pixels, params.output_format, quality=quality)
        return marker.encode(
            pixels, params.output_format, seed=accepted.seed, quality=quality, model=accepted.image.model
        )

    encoded, lowered = file_within(file, params.quality, params.max_bytes)
    if params.is_lossy:
        sent = truth.as_sent(accepted.image.pixels, asked.product, asked.mask)
        report = truth.of_file(report, encoded, cut_to(sent, frame), cut_to(asked.mask, frame))
    return FrameFile(encoded, lowered, report)
