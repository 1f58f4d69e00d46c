"""Saliency of a photo: barrier distance from the frame, contrast with the border, and a preference for the centre.

After Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS" (ICCV 2015): a pixel belongs to the
background if some path from the frame reaches it without much change of colour.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

SIDE = 128  # of the copy that is examined, pixels
SWEEPS = 3  # passes over the picture; distances hardly fall after three
CENTRE_SPREAD = 0.3  # standard deviation of the preference for the centre, fraction of a side

Plane = NDArray[np.float32]


def saliency_of(photo: Pixels) -> Plane:
    """The saliency of each pixel of a photo (H, W, 3): (H, W), 0..1."""
    height, width = photo.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(4, round(width * scale)), max(4, round(height * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    smooth = np.asarray(cv2.bilateralFilter(small, 5, 30, 3), np.float32) / 255
    lab = np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB), np.float32)
    barrier = np.sum([_barrier_distance(lab[..., channel].copy()) for channel in range(3)], axis=0)
    rows, columns = lab.shape[:2]
    y, x = np.mgrid[-0.5 : 0.5 : rows * 1j, -0.5 : 0.5 : columns * 1j]
    middle = np.exp(-(x**2 + y**2) / (2 * CENTRE_SPREAD**2))
    found = _to_one((_to_one(barrier) + _to_one(_border_contrast(lab))) * middle).astype(np.float32)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _barrier_distance(channel: Plane) -> Plane:
    """Least range of values (highest less lowest) over paths from the frame, by sweeps in four directions."""
    distance = np.full_like(channel, np.inf)
    distance[0] = distance[-1] = 0
    distance[:, 0] = distance[:, -1] = 0
    highest, lowest = channel.copy(), channel.copy()
    by_rows = _Sweep(channel, distance, highest, lowest)
    by_columns = _Sweep(channel.T, distance.T, highest.T, lowest.T)
    for _ in range(SWEEPS):
        for sweep in (by_rows, by_columns):
            rows = sweep.channel.shape[0]
            for row in range(1, rows):
                sweep.step(row, row - 1)
            for row in range(rows - 2, -1, -1):
                sweep.step(row, row + 1)
    return distance


class _Sweep(NamedTuple):
    """The planes that a sweep reads and updates, all (h, w)."""

    channel: Plane
    distance: Plane  # of the best path found so far
    highest: Plane  # value on that path
    lowest: Plane

    def step(self, row: int, before: int) -> None:
        """Extend the paths of the row `before` by one pixel, where that makes them shorter."""
        up = np.maximum(self.highest[before], self.channel[row])
        down = np.minimum(self.lowest[before], self.channel[row])
        shorter = up - down < self.distance[row]
        self.distance[row][shorter] = (up - down)[shorter]
        self.highest[row][shorter] = up[shorter]
        self.lowest[row][shorter] = down[shorter]


def _border_contrast(lab: Plane) -> NDArray[np.floating]:
    """Mahalanobis distance to the colours along each side, summed over the sides but the farthest.

    The farthest is left out because the product may touch one side of the frame.
    """
    depth = max(2, int(0.06 * min(lab.shape[:2])))
    sides = (lab[:depth], lab[-depth:], lab[:, :depth], lab[:, -depth:])
    distances = []
    for side in sides:
        colours = side.reshape(-1, 3)
        precision = np.linalg.inv(np.cov(colours.T) + 8 * np.eye(3))  # 8: keeps the colours of a plain side apart
        away = lab - colours.mean(axis=0)
        distances.append(_to_one(np.sqrt(np.einsum("hwi,ij,hwj->hw", away, precision, away))))
    return np.asarray(np.sum(distances, axis=0) - np.max(distances, axis=0))


def _to_one(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(plane / max(float(plane.max()), 1e-9))
