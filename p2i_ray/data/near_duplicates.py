"""Near-duplicate pictures by a perceptual hash: the same photo in another size, quality or crop of a few pixels.

A fingerprint is 56 bytes: 64 bits of structure (the signs of the lowest frequencies of the brightness, as pHash has
them) and 48 mean colours, without which a red and a blue mug in the same photo would be one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data import numbers
from p2i_ray.data.images import Pixels
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

BYTES = 56  # of a fingerprint
SIDE = 32  # of the picture whose frequencies are taken
COLOURS = 4  # mean colours a side
MOST_BITS = 10  # that differ between near-duplicates; unlike pictures differ in 32, give or take 4
MEAN_LEVELS = 4.0  # by which their mean colours differ in the mean
MOST_LEVELS = 12  # by which one mean colour differs
BANDS = 4  # of 16 bits; near-duplicates have at least one in common
REACH = 64  # rows with the same band that a row is compared with; more share one by chance in millions of rows
AT_ONCE = 1 << 16  # pairs whose colours are compared
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(8), np.arange(SIDE) + 0.5))  # (8, 32): a DCT's lowest frequencies


def fingerprint(pixels: Pixels) -> bytes:
    """The fingerprint of a picture (H, W, 3), or of a cutout (H, W, 4), whose clear pixels count as grey."""
    picture = Image.fromarray(pixels)
    if pixels.shape[2] == 4:
        grey = Image.new("RGBA", picture.size, (128, 128, 128, 255))
        picture = Image.alpha_composite(grey, picture).convert("RGB")
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    frequencies = _COSINES @ np.asarray(small.convert("L"), np.float64) @ _COSINES.T  # (8, 8)
    levels = frequencies.ravel()
    signs = levels > np.sort(levels[1:])[len(levels) // 2 - 1]  # the median; the first is the mean brightness
    return np.packbits(signs).tobytes() + np.asarray(small.resize((COLOURS, COLOURS), Image.Resampling.BOX)).tobytes()


def pairs(fingerprints: Sequence[bytes] | NDArray[np.uint8], factor: float = 1) -> NDArray[np.intp]:
    """Places of near-duplicates, (N, 2); those of more than two pictures are connected, not each given.

    Args:
        fingerprints: of the pictures; or a table of them, (number, BYTES).
        factor: of the limits; below 1, only pictures that are nearer than that are near-duplicates.
    """
    table = fingerprints if isinstance(fingerprints, np.ndarray) else as_table(fingerprints)
    found = [np.empty(0, np.intp)]
    size = max(len(table), 1)
    for band in range(BANDS if len(table) > 1 else 0):
        values = table[:, 2 * band : 2 * band + 2].view(np.uint16)[:, 0]
        for rows in numbers.parted(values, bits=16):
            order, structure = _order(table, rows, band)
            found += [left * size + right for left, right in _in_band(table, order, structure, factor)]
    return np.stack(np.divmod(np.unique(np.concatenate(found)), size), axis=1)


def as_table(fingerprints: Sequence[bytes]) -> NDArray[np.uint8]:
    """Fingerprints as a table, (N, BYTES)."""
    return np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, BYTES)


def of_column(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """A column of fingerprints, none of which is null, as a table, (N, BYTES); one in a single piece isn't copied."""
    import pyarrow as pa

    kind = pa.binary(BYTES)
    pieces = [chunk if chunk.type == kind else chunk.cast(kind) for chunk in column.chunks if len(chunk)]
    if any(piece.null_count for piece in pieces):
        raise TypeError("a picture has no fingerprint")
    tables = [
        np.frombuffer(piece.buffers()[1], np.uint8, len(piece) * BYTES, piece.offset * BYTES).reshape(-1, BYTES)
        for piece in pieces
    ]
    if len(tables) == 1:
        return tables[0]
    found = spilled.array((sum(map(len, tables)), BYTES), np.uint8)
    end = 0
    for own in tables:
        start, end = end, end + len(own)
        found[start:end] = own
    return found


def connected(edges: NDArray[np.intp], size: int) -> NDArray[np.int32]:
    """The number of the component that each of `size` nodes is in, by undirected edges (N, 2) between their places."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(size, size))
    components: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return components


def _order(table: NDArray[np.uint8], rows: NDArray[np.intp], band: int) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Rows by a band, the other bands and the colours, and the structures in that order, the band in front.

    Equal fingerprints become neighbours, similar ones mostly.
    """
    bands = table[rows, :8].view(np.uint16)  # (N, BANDS)
    structure = bands[:, band].astype(np.uint64)
    for other in reversed(range(BANDS)):
        if other != band:
            structure = structure << np.uint64(16) | bands[:, other]
    order = np.argsort(structure, kind="stable")
    structure, order = structure[order], rows[order]
    same = np.flatnonzero(structure[1:] == structure[:-1])
    if len(same):  # colours decide between equal structures alone
        places = np.union1d(same, same + 1)
        alike = order[places]
        order[places] = alike[np.lexsort((*table[alike, 8:].T[::-1], structure[places]))]
    return order, structure


def _in_band(
    table: NDArray[np.uint8], order: NDArray[np.intp], structure: NDArray[np.uint64], factor: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Near-duplicates among rows with the same value, each compared with the `REACH` rows behind it."""
    values = (structure >> np.uint64(48)).astype(np.uint16)
    for step in range(1, min(REACH, len(values) - 1) + 1):
        same = values[:-step] == values[step:]
        if not same.any():
            return
        # Structures first: they lie in this order already, and hardly a pair is left then.
        same &= np.bitwise_count(structure[:-step] ^ structure[step:]) <= int(factor * MOST_BITS)
        first = np.flatnonzero(same)
        for start in range(0, len(first), AT_ONCE):
            some = first[start : start + AT_ONCE]
            left, right = order[some], order[some + step]
            near = _near(table[left], table[right], factor)
            left, right = left[near], right[near]
            yield np.minimum(left, right), np.maximum(left, right)


def _near(left: NDArray[np.uint8], right: NDArray[np.uint8], factor: float) -> NDArray[np.bool_]:
    """Whether the mean colours of pictures are near each other."""
    levels = np.abs(left[:, 8:].astype(np.int16) - right[:, 8:])
    alike = np.less_equal(levels.mean(axis=1), factor * MEAN_LEVELS) & (levels.max(axis=1) <= factor * MOST_LEVELS)
    return np.asarray(alike, np.bool_)
