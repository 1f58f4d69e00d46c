"""Near-duplicate pictures by a perceptual hash: the same photo in another size, quality or crop of a few pixels.

A fingerprint is 56 bytes: 64 bits of structure (the signs of the lowest frequencies of the brightness, as pHash has
them) and 48 mean colours, without which a red and a blue mug in the same photo would be one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data.images import Pixels

BYTES = 56  # of a fingerprint
SIDE = 32  # of the picture whose frequencies are taken
COLOURS = 4  # mean colours a side
MOST_BITS = 10  # that differ between near-duplicates; unlike pictures differ in 32, give or take 4
MEAN_LEVELS = 4.0  # by which their mean colours differ in the mean
MOST_LEVELS = 12  # by which one mean colour differs
BANDS = 4  # of 16 bits; near-duplicates have at least one in common
REACH = 64  # rows with the same band that a row is compared with; more share one by chance in millions of rows
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


def pairs(fingerprints: Sequence[bytes], factor: float = 1) -> NDArray[np.intp]:
    """Places of near-duplicates, (N, 2); those of more than two pictures are connected, not each given.

    Args:
        fingerprints: of the pictures.
        factor: of the limits; below 1, only pictures that are nearer than that are near-duplicates.
    """
    found = [np.empty((0, 2), np.intp)]
    if len(fingerprints) > 1:
        table = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, BYTES)
        bands = table[:, :8].copy().view(np.uint16)  # (N, BANDS)
        for band in range(BANDS):
            # Equal fingerprints become neighbours, similar ones mostly.
            order = np.lexsort((*table[:, :7:-1].T, *bands.T, bands[:, band]))
            found += _in_band(table, order, bands[order, band], factor)
    left, right = np.concatenate(found).T
    size = max(len(fingerprints), 1)
    return np.stack(np.divmod(np.unique(left * size + right), size), axis=1)


def connected(edges: NDArray[np.intp], size: int) -> list[int]:
    """The number of the component that each of `size` nodes is in, by undirected edges (N, 2) between their places."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(size, size))
    components: list[int] = connected_components(graph, directed=False)[1].tolist()
    return components


def _in_band(
    table: NDArray[np.uint8], order: NDArray[np.intp], values: NDArray[np.uint16], factor: float
) -> Iterator[NDArray[np.intp]]:
    """Near-duplicates among rows with the same value, each compared with the `REACH` rows behind it."""
    for step in range(1, min(REACH, len(values) - 1) + 1):
        first = np.flatnonzero(values[:-step] == values[step:])
        if not len(first):
            return
        left, right = order[first], order[first + step]
        near = _near(table[left], table[right], factor)
        yield np.sort(np.stack([left[near], right[near]], axis=1), axis=1)


def _near(left: NDArray[np.uint8], right: NDArray[np.uint8], factor: float) -> NDArray[np.bool_]:
    bits = np.bitwise_count(left[:, :8] ^ right[:, :8]).sum(axis=1)
    levels = np.abs(left[:, 8:].astype(np.int16) - right[:, 8:])
    alike = np.less_equal(levels.mean(axis=1), factor * MEAN_LEVELS) & (levels.max(axis=1) <= factor * MOST_LEVELS)
    return np.asarray(alike & (bits <= factor * MOST_BITS), np.bool_)
