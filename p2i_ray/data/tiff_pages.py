"""Choose the page of a TIFF that is the picture: its first may be a small preview of it."""

from __future__ import annotations

from PIL import Image

from p2i_ray.data.errors import ImageError

KIND = 254  # tag: what a page is
HIDDEN_PAGES = 330  # tag: where pages lie that the list of pages leaves out, as a raw file's full picture
PREVIEW = 1  # bit of it: a smaller version of another page
MOST = 16  # pages that are looked at


def turn_to_picture(image: Image.Image) -> None:
    """Go to the first page of an opened TIFF that is no preview; files of other formats stay as they are.

    A page that is all there is stays, whatever it is called: some programs mark what they made smaller.

    Raises:
        ImageError: there are previews alone, as can be read of a camera's raw file.
    """
    if image.format != "TIFF" or (getattr(image, "n_frames", 1) == 1 and not _tag(image, HIDDEN_PAGES)):
        return
    number = 0
    while _tag(image, KIND) & PREVIEW:
        number += 1
        if number == min(getattr(image, "n_frames", 1), MOST):
            raise ImageError(
                "unreadable: a small preview is all that can be read of it, as of a camera's raw file; save it as JPEG"
            )
        image.seek(number)


def _tag(image: Image.Image, tag: int) -> int:
    """A tag's number, the first where it has several; 0: the page lacks it."""
    found = getattr(image, "tag_v2", {}).get(tag, 0)
    first = found[0] if isinstance(found, tuple) and found else found
    return first if isinstance(first, int) else 0
