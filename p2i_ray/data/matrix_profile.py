"""Build an ICC profile of RGB from primaries, white and a curve, for files that state these instead of a profile."""

from __future__ import annotations

import functools
import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]  # x and y
Primaries = tuple[Point, Point, Point, Point]  # red, green, blue and white
Curve = float | Literal["srgb"]  # light = level ** gamma; or sRGB's

D50 = np.array((0.9642, 1.0, 0.8249))  # ICC's white, XYZ
# Bradford's cone responses, by which a white is adapted to another.
CONES = np.array(((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
HEADER = 128  # bytes


@functools.lru_cache(maxsize=32)
def matrix_profile(primaries: Primaries, curve: Curve) -> bytes | None:
    """An ICC profile; none where the primaries span no colours."""
    if not all(y > 0 for _, y in primaries):
        return None
    to_xyz = _to_xyz_of_d50(primaries)
    if to_xyz is None:
        return None
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), to_xyz.T, strict=True)}
    tags |= {b"wtpt": _xyz(D50)} | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    table, body = b"", b""
    start = HEADER + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    size = start + len(body)
    head = struct.pack(">I4xI", size, 0x04300000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(65536 * value) for value in D50))
    return head.ljust(HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body


def _to_xyz_of_d50(primaries: Primaries) -> NDArray[np.float64] | None:
    """The matrix from linear RGB to XYZ under D50; none if it can't be inverted."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    colours, white = columns[:, :3], columns[:, 3]
    if abs(np.linalg.det(colours)) < 1e-6:
        return None
    matrix = colours * np.linalg.solve(colours, white)
    adapt = np.linalg.inv(CONES) @ np.diag((CONES @ D50) / (CONES @ white)) @ CONES
    return np.asarray(adapt @ matrix)


def _curve(curve: Curve) -> bytes:
    numbers = SRGB_CURVE if curve == "srgb" else (curve,)
    kind = 3 if curve == "srgb" else 0
    return b"para" + struct.pack(f">4xH2x{len(numbers)}i", kind, *(round(65536 * number) for number in numbers))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + struct.pack(">4x3i", *(round(65536 * value) for value in values))
