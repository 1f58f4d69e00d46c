"""Whether all of a picture's file is there, where its decoder would fill up what is missing and say nothing.

A download that broke off in a file of the full length leaves zeros at its end. A JPEG's and a GIF's decoder notice it;
a PNG has checksums, which Pillow doesn't look at where the pixels are; WebP, AVIF and HEIC have none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from p2i_ray.data import isobmff
from p2i_ray.data.errors import ImageError

PNG_START, RIFF_START = 8, 12  # bytes in front of the first chunk
PIXELS_OF_WEBP = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")
ZEROS = 64  # bytes at the end of pixels that are no fault yet
PIXELS_A_ZERO = 4000  # and for so many pixels one more: plain areas of a WebP end in one for about 10,000
METADATA = 4096  # and so many where EXIF, which may be filled up with zeros, is in the same box as the pixels


def check(encoded: bytes, kind: str | None, pixels: int) -> None:
    """Check the parts of a file that Pillow takes unseen.

    Args:
        encoded: the file's content.
        kind: its format, as Pillow calls it.
        pixels: of the picture.

    Raises:
        ImageError: some of it is missing or damaged.
    """
    if kind == "PNG":
        _check_sums(encoded)
        return
    most = ZEROS + pixels // PIXELS_A_ZERO
    if kind == "WEBP":
        zeros = max(map(_zeros, _pixels_of_webp(encoded)), default=0)
    elif kind in ("AVIF", "HEIF"):
        zeros, most = _zeros(isobmff.last_box(encoded)), most + METADATA
    else:
        return
    if zeros > most:
        raise ImageError(f"unreadable: its last {zeros} bytes are zeros, as a download that broke off leaves them")


def _zeros(content: bytes) -> int:
    """How many zeros are at the end of something."""
    return len(content) - len(content.rstrip(b"\0"))


def _check_sums(encoded: bytes) -> None:
    """Compare the checksums of a PNG's pixels; a chunk that isn't whole is its decoder's business."""
    place, view = PNG_START, memoryview(encoded)
    while place + 12 <= len(encoded):
        length, kind = struct.unpack(">I4s", view[place : place + 8])
        end = place + 8 + length
        if kind == b"IEND" or end + 4 > len(encoded):
            return
        if kind == b"IDAT" and zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError("unreadable: broken PNG file (a checksum of its pixels is wrong)")
        place = end + 4


def _pixels_of_webp(encoded: bytes) -> Iterator[bytes]:
    """The chunks of a WebP that hold pixels, or its alpha, as far as they are there."""
    place = RIFF_START
    while place + 8 <= len(encoded):
        kind, length = struct.unpack("<4sI", encoded[place : place + 8])
        if kind in PIXELS_OF_WEBP:
            yield encoded[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
