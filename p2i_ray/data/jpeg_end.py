"""A JPEG that lacks nothing but its end marker, told from one whose picture was cut off."""

from __future__ import annotations

import io

from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
FILLINGS = (b"\x55" * 64, b"\xb4\x2d\x6c" * 22, b"\x13\xe8" * 32)  # coded data: missing blocks would show it
PROGRESSIVE = 0xC2
SOS = 0xDA  # start of scan
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame; the others are tables
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
COEFFICIENTS = 64  # of a block


def mended(encoded: bytes) -> bytes | None:
    """The file with its end marker; none if it is no JPEG, or if more than the marker is missing.

    A decoder fills up what is missing of a picture with grey and says nothing. So the file is decoded again with other
    coded data before the marker: where all of the picture is there, that data is not looked at.
    """
    if not encoded.startswith(START) or encoded.endswith(END):
        return None
    whole = encoded.removesuffix(b"\xff")
    try:
        pixels = _pixels(whole + END)
        same = all(_pixels(whole + filling + END) == pixels for filling in FILLINGS)
        return whole + END if same and _has_all_scans(whole) else None
    except (OSError, SyntaxError, ValueError, IndexError):
        return None


def _pixels(encoded: bytes) -> bytes:
    with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
        return image.tobytes()


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
