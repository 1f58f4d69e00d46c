"""Which page of a TIFF is the picture: its first may be a small preview of it."""

from __future__ import annotations

from PIL import Image

from p2i_ray.data.errors import ImageError

KIND = 254  # tag: what a page is
PREVIEW = 1  # bit of it: a smaller version of another page
MOST = 16  # pages that are looked at


def turn_to_picture(image: Image.Image) -> None:
    """Go to the first page of an opened TIFF that is no preview; files of other formats stay as they are.

    Raises:
        ImageError: there is none, as in a camera's raw file.
    """
    if image.format != "TIFF":
        return
    number = 0
    while _kind(image) & PREVIEW:
        number += 1
        if number == min(getattr(image, "n_frames", 1), MOST):
            raise ImageError(
                "unreadable: a small preview is all that can be read of it, as of a camera's raw file; save it as JPEG"
            )
        image.seek(number)


def _kind(image: Image.Image) -> int:
    found = getattr(image, "tag_v2", {}).get(KIND, 0)
    return found if isinstance(found, int) else 0
