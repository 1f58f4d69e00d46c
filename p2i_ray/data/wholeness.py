"""Whether all of a picture's file is there, where its decoder would fill up what is missing and say nothing.

A download that broke off in a file of the full length leaves zeros at its end. A JPEG's and a GIF's decoder notice it;
a PNG has checksums, which Pillow doesn't look at where the pixels are; WebP, AVIF and HEIC have none.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from PIL import Image

from p2i_ray.data import isobmff
from p2i_ray.data.errors import ImageError

PNG_START, RIFF_START = 8, 12  # bytes in front of the first chunk
RIFF_LENGTH = 4  # place of a WebP's length
FRAME, FRAME_HEAD = b"ANMF", 16  # a picture of an animated WebP, and the bytes in front of its own chunks
PIXELS_OF_WEBP = (b"VP8 ", b"VP8L", b"ALPH")
ZEROS = 64  # bytes at the end of pixels that are no fault yet
PIXELS_A_ZERO = 4000  # and for so many pixels one more: plain areas of a WebP end in one for about 10,000
ZEROS_A_PIXEL = 0.5  # most that a WebP ever ends in: where most pixels are alike, each channel takes a bit
NEEDLESS = 32  # zeros that pixels can do without if they were never pixels; whole ones need their last bytes
METADATA = 4096  # and so many where EXIF, which may be filled up with zeros, is in the same box as the pixels


class _Chunk(NamedTuple):
    """A part of a WebP that holds pixels, or its alpha."""

    start: int  # of its content
    end: int  # of its content, or of the file, if that is cut off
    lengths: tuple[int, ...]  # places of the lengths that count its content


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
        chunks = _pixels_of_webp(encoded, RIFF_START, len(encoded), (RIFF_LENGTH,))
        for chunk in islice(chunks, 2):  # alpha and colours
            zeros = _zeros(encoded[chunk.start : chunk.end])
            if zeros > most and (zeros > ZEROS_A_PIXEL * pixels or _opens_without_end(encoded, chunk)):
                raise _broke_off(zeros)
    elif kind in ("AVIF", "HEIF"):
        zeros = _zeros(isobmff.last_box(encoded))
        if zeros > most + METADATA:
            raise _broke_off(zeros)


def _broke_off(zeros: int) -> ImageError:
    return ImageError(f"unreadable: its last {zeros} bytes are zeros, as a download that broke off leaves them")


def _zeros(content: bytes) -> int:
    """Number of zeros at the end."""
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


def _pixels_of_webp(encoded: bytes, start: int, end: int, lengths: tuple[int, ...]) -> Iterator[_Chunk]:
    """The chunks of a WebP's first picture that hold pixels, as far as they are there.

    Args:
        encoded: the file's content.
        start: where its first chunk begins.
        end: where its last one ends.
        lengths: places of the lengths that count all of them.
    """
    place = start
    while place + 8 <= end:
        kind, length = struct.unpack("<4sI", encoded[place : place + 8])
        found = _Chunk(place + 8, min(end, place + 8 + length), (*lengths, place + 4))
        if kind == FRAME:
            yield from _pixels_of_webp(encoded, found.start + FRAME_HEAD, found.end, found.lengths)
            return  # of an animation the first picture counts
        if kind in PIXELS_OF_WEBP:
            yield found
        place += 8 + length + length % 2


def _opens_without_end(encoded: bytes, chunk: _Chunk) -> bool:
    """Whether a WebP's decoder has all pixels before the last bytes of a chunk, so that these are not of the picture.

    An encoder that is told to hurry writes plain areas as zeros, many thousands of them, and its decoder needs each.
    """
    shorter = bytearray(encoded[: chunk.end - NEEDLESS] + encoded[chunk.end :])
    for place in chunk.lengths:
        (length,) = struct.unpack_from("<I", shorter, place)
        struct.pack_into("<I", shorter, place, max(0, length - NEEDLESS))
    try:
        with Image.open(io.BytesIO(shorter), formats=("WEBP",)) as image:
            image.load()
    except Exception:  # whatever Pillow raises for a picture whose pixels are not all there
        return False
    return True
