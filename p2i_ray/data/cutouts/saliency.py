"""What stands out from the frame of a photo: barrier distance, contrast with the border, and place.

After Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS" (ICCV 2015): a pixel belongs to the
background if some path from the frame reaches it without much change of colour.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels

SIDE = 128  # pixels of the copy that is looked at
SWEEPS = 3  # passes over the picture; distances hardly fall after three
CENTRE_SPREAD = 0.3  # standard deviation of the preference for the middle, share of a side

Plane = NDArray[np.float32]


def of(photo: Pixels) -> Plane:
    """How much each pixel of a photo (H, W, 3) stands out, (H, W), 0..1."""
    height, width = photo.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(4, round(width * scale)), max(4, round(height * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cv2.bilateralFilter(small, 5, 30, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    barrier = np.sum([_barrier_distance(lab[..., channel].copy()) for channel in range(3)], axis=0)
    rows, columns = lab.shape[:2]
    y, x = np.mgrid[-0.5 : 0.5 : rows * 1j, -0.5 : 0.5 : columns * 1j]
    middle = np.exp(-(x**2 + y**2) / (2 * CENTRE_SPREAD**2))
    found = _to_one((_to_one(barrier) + _to_one(_border_contrast(lab))) * middle).astype(np.float32)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)


def _barrier_distance(channel: Plane) -> Plane:
    """Least range of values (highest less lowest) over paths from the frame, by sweeps in four directions."""
    distance = np.full_like(channel, np.inf)
    distance[0] = distance[-1] = 0
    distance[:, 0] = distance[:, -1] = 0
    highest, lowest = channel.copy(), channel.copy()
    planes = (channel, distance, highest, lowest)
    turned = (channel.T, distance.T, highest.T, lowest.T)
    for _ in range(SWEEPS):
        for one in (planes, turned):
            rows = one[0].shape[0]
            for row in range(1, rows):
                _step(*one, row, row - 1)
            for row in range(rows - 2, -1, -1):
                _step(*one, row, row + 1)
    return distance


def _step(channel: Plane, distance: Plane, highest: Plane, lowest: Plane, row: int, before: int) -> None:
    up = np.maximum(highest[before], channel[row])
    down = np.minimum(lowest[before], channel[row])
    shorter = up - down < distance[row]
    distance[row][shorter] = (up - down)[shorter]
    highest[row][shorter] = up[shorter]
    lowest[row][shorter] = down[shorter]


def _border_contrast(lab: Plane) -> Plane:
    """Mahalanobis distance to the colours along each side, summed over the sides but the farthest.

    The farthest is left out because the product may touch one side of the frame.
    """
    depth = max(2, int(0.06 * min(lab.shape[:2])))
    sides = (lab[:depth], lab[-depth:], lab[:, :depth], lab[:, -depth:])
    distances = []
    for side in sides:
        colours = side.reshape(-1, 3)
        precision = np.linalg.inv(np.cov(colours.T) + 8 * np.eye(3))  # 8: no side is plainer than the eye sees
        away = lab - colours.mean(axis=0)
        distances.append(_to_one(np.sqrt(np.einsum("hwi,ij,hwj->hw", away, precision, away))))
    return np.sum(distances, axis=0) - np.max(distances, axis=0)


def _to_one(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    return plane / max(float(plane.max()), 1e-9)
