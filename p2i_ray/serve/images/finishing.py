"""From what was painted to files: cut to a frame, scaled, and no larger than a place takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from p2i_ray.data.images import Pixels
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.images.framing import Frame, Shape
from p2i_ray.serve.images.marketplaces import MB, Format
from p2i_ray.serve.images.shape_fields import AutoShape, ShapeFields

LOWER = (90, 80, 70, 60, 50, 40)  # qualities that are tried where a file is too large
BYTES_PNG = 3.0  # a pixel, at most
HEADER = 100_000  # bytes of a file beside its pixels: its marks


def cut_to(painted: Pixels, frame: Frame) -> Pixels:
    """A frame of a canvas (H, W, 3), scaled with Lanczos where its file has another size."""
    box = frame.box
    part = painted[box.top : box.bottom, box.left : box.right]
    if frame.output == box.size:
        return np.ascontiguousarray(part)
    return np.asarray(Image.fromarray(part).resize(frame.output, Image.Resampling.LANCZOS))


def file_format(request: ShapeFields, wanted: Format | None, shape: Shape | AutoShape) -> Format:
    """The format of a request's files.

    Args:
        request: it may name a marketplace.
        wanted: that the request asks for.
        shape: of its pictures.

    Raises:
        APIError: the place takes none such, or a file of it may be too large for the place.
    """
    place = request.preset
    if place is None or isinstance(shape, AutoShape):
        return wanted or "png"
    name = request.marketplace
    if wanted is not None and wanted not in place.formats:
        raise bad_request(
            f"marketplace={name} takes {' or '.join(place.formats)}, no {wanted}; leave output_format out",
            "output_format",
        )
    chosen, output = wanted or place.formats[0], shape.frames[0].output
    most = output.width * output.height * BYTES_PNG + HEADER
    if chosen == "png" and most > place.max_bytes:
        raise bad_request(
            f"a png of {output} may have {most / MB:.0f} MB, marketplace={name} takes {place.max_bytes / MB:g}; leave "
            "output_format out",
            "output_format",
        )
    return chosen


def file_within(
    encode: Callable[[int | None], bytes], quality: int | None, max_bytes: int | None
) -> tuple[bytes, int | None]:
    """A file, in a lower quality than the usual where it would else be too large.

    Args:
        encode: a file of a quality; none: of the usual one.
        quality: that the client asks for; it is then kept, whatever the file's size.
        max_bytes: largest file; none: no matter.

    Returns:
        The file, and its quality where it was lowered.

    Raises:
        APIError: it is too large in the lowest quality, too.
    """
    file = encode(quality)
    if max_bytes is None or quality is not None or len(file) <= max_bytes:
        return file, None
    for lower in LOWER:
        file = encode(lower)
        if len(file) <= max_bytes:
            return file, lower
    raise bad_request(
        f"the picture has {len(file) / MB:.1f} MB in quality {LOWER[-1]}, more than the {max_bytes / MB:g} of the "
        "marketplace; give a smaller output_size, or an output_compression, which is then kept",
        "output_size",
    )
