"""The end of a JPEG: one that lacks nothing but its end marker, and one that has it but not all of its picture.

A decoder fills up what is missing of a picture with grey and says nothing. So a file is decoded again with other coded
data before the marker: where all of the picture is there, that data is not looked at.
"""

from __future__ import annotations

import hashlib
import io

from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
FILLINGS = (b"\x55" * 64, b"\xb4\x2d\x6c" * 22, b"\x13\xe8" * 32)  # coded data: missing blocks would show it
PROGRESSIVE = 0xC2
SOS = 0xDA  # start of scan
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame; the others are tables
GREY = range(122, 135)  # levels that missing blocks get: 128, less exactly where a progressive one is smoothed
UNREADABLE = (OSError, SyntaxError, ValueError, IndexError)  # what Pillow raises for broken files
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
COEFFICIENTS = 64  # of a block
BAND = 256  # rows that are read at a time


def mended(encoded: bytes) -> bytes | None:
    """The file with its end marker; none if it is no JPEG, or if more than the marker is missing."""
    if not encoded.startswith(START) or encoded.endswith(END):
        return None
    whole = encoded.removesuffix(b"\xff")
    try:
        return whole + END if _has_all_blocks(whole) and _has_all_scans(whole) else None
    except UNREADABLE:
        return None


def is_cut_off(encoded: bytes, image: Image.Image) -> bool:
    """Whether a JPEG with an end marker lacks the last blocks of its picture, as one that a program put the marker to.

    Args:
        encoded: the file's content.
        image: decoded from it, at any size. Unless its last pixel has the grey of missing blocks, nothing is missing.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    levels = last if isinstance(last, tuple) else (last,)
    if not encoded.endswith(END) or any(level not in GREY for level in levels):
        return False
    try:
        return not _has_all_blocks(encoded.removesuffix(END))
    except UNREADABLE:  # it was readable without other data
        return True


def _has_all_blocks(encoded: bytes) -> bool:
    """Whether what is put before the end marker doesn't show."""
    pixels = _pixels(encoded + END)
    return all(_pixels(encoded + filling + END) == pixels for filling in FILLINGS)


def _pixels(encoded: bytes) -> bytes:
    """A digest of the pixels; no second copy of them is held."""
    found = hashlib.sha256()
    with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
        image.load()
        for top in range(0, image.height, BAND):
            found.update(image.crop((0, top, image.width, min(image.height, top + BAND))).tobytes())
    return found.digest()


def _has_all_scans(encoded: bytes) -> bool:
    """Whether the scans of a progressive JPEG bring each coefficient of each component to its last bit."""
    wanted: set[tuple[int, int]] = set()
    found: set[tuple[int, int]] = set()
    place = 2
    while place + 4 <= len(encoded):
        kind = encoded[place + 1]
        if encoded[place] != 0xFF or kind in (0x00, 0xFF) or kind in ALONE:  # coded data of a scan, or filling
            place += 1
            continue
        length = int.from_bytes(encoded[place + 2 : place + 4], "big")
        segment = encoded[place + 4 : place + 2 + length]
        if kind in FRAMES:
            if kind != PROGRESSIVE:
                return True
            wanted = {(segment[6 + 3 * n], k) for n in range(segment[5]) for k in range(COEFFICIENTS)}
        elif kind == SOS:
            first, last, bits = segment[-3:]
            if not bits & 15:
                found |= {(segment[1 + 2 * n], k) for n in range(segment[0]) for k in range(first, last + 1)}
        place += 2 + length
    return bool(wanted) and wanted <= found
