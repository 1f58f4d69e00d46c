"""A cutout of its photo is told from one of another place, whatever was done to its colours."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from p2i_ray.data.cutouts import agreement, colours
from p2i_ray.data.images import Pixels
from p2i_ray.mini.world import render

TOYS = [(sample.image, sample.mask) for sample in (render(5, index) for index in range(60))]


def photo() -> Pixels:
    """A wall of grey tiles, 160 x 160, with a red board of 50 x 50 at the lower left, which has dark stripes."""
    tiles = np.random.default_rng(0).integers(90, 170, (20, 20, 1), np.uint8)
    picture = np.repeat(tiles.repeat(8, 0).repeat(8, 1), 3, axis=2)
    picture[90:140, 15:65] = (200, 30, 30)
    picture[90:140:10, 15:65] = (90, 10, 10)
    return picture


def board(side: int = 160) -> Pixels:
    """The cutout of the board, where it is in the photo."""
    alpha = np.zeros((160, 160), np.uint8)
    alpha[90:140, 15:65] = 255
    return colours.resize(np.dstack([photo(), alpha]), side, side)


def test_a_trimmed_cutout_disagrees_and_the_whole_one_agrees() -> None:
    assert agreement.agrees(board(), photo()) and agreement.agrees(colours.resize(board(80), 160, 160), photo())
    trimmed = colours.resize(np.ascontiguousarray(board()[85:145, 10:70]), 160, 160)  # 60 x 60 over the whole photo
    assert not agreement.agrees(trimmed, photo())
    flat = np.where(trimmed[..., 3:] > 0, np.uint8([200, 30, 30, 255]), np.uint8(0))
    assert not agreement.agrees(flat, photo())
    alike, contrast, same = agreement.measures(flat, photo())
    assert alike < 0.3 and contrast > 2 * agreement.CONTRAST and abs(same) < 0.05


def test_where_nothing_can_be_told_they_agree() -> None:
    grey = np.full((160, 160, 3), 128, np.uint8)
    bright = np.dstack([np.full((160, 160, 3), 250, np.uint8), board()[..., 3]])
    assert agreement.agrees(bright, grey)  # flat, both of them
    dot = np.zeros((160, 160, 4), np.uint8)
    dot[:12, :12] = (0, 0, 255, 255)
    assert agreement.agrees(dot, photo())
    glass = board()
    glass[..., 3] //= 2
    assert agreement.agrees(glass[::-1], photo())
    clear = np.dstack([photo(), np.zeros((160, 160), np.uint8)])  # the photo itself shows nothing there
    assert agreement.agrees(board()[::-1], clear)


def levels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Pixels], Pixels]:
    return lambda picture: np.clip(change(picture.astype(np.float32)), 0, 255).astype(np.uint8)


def recompressed(picture: Pixels) -> Pixels:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=20)
    return np.asarray(Image.open(out))


def turned_in_hue(picture: Pixels) -> Pixels:
    hue, *others = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))
    return np.asarray(cv2.cvtColor(cv2.merge([(hue + 30) % 180, *others]), cv2.COLOR_HSV2RGB), np.uint8)


@pytest.mark.parametrize(
    "retouch",
    [
        levels(lambda picture: picture),
        levels(lambda picture: picture + 60),
        levels(lambda picture: picture * 0.5),
        levels(lambda picture: 255 * (picture / 255) ** 0.5),
        levels(lambda picture: picture * np.float32([1.25, 1.0, 0.7])),
        levels(lambda picture: picture.mean(-1, keepdims=True).repeat(3, -1)),
        levels(lambda picture: (picture - 128) * 2 + 128),
        levels(lambda picture: cv2.GaussianBlur(picture, (0, 0), 1)),
        levels(lambda picture: np.roll(picture, 1, (0, 1))),
        recompressed,
        turned_in_hue,
    ],
)
def test_retouched_cutouts_of_toys_agree(retouch: Callable[[Pixels], Pixels]) -> None:
    assert all(agreement.agrees(np.dstack([retouch(picture), mask]), picture) for picture, mask in TOYS)


def test_trimmed_cutouts_of_toys_disagree() -> None:
    """With a tenth of a margin; of 300 toys, 276 did."""
    found = []
    for picture, mask in TOYS:
        rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
        side = round(1.2 * max(np.ptp(rows), np.ptp(columns)) + 1)
        above, left = (round((seen[0] + seen[-1] - side) / 2) for seen in (rows, columns))
        padded = np.pad(np.dstack([picture, mask]), ((64, 64), (64, 64), (0, 0)))
        trimmed = padded[above + 64 : above + 64 + side, left + 64 : left + 64 + side]
        found.append(agreement.agrees(colours.resize(np.ascontiguousarray(trimmed), 64, 64), picture))
    assert sum(found) <= 0.15 * len(TOYS)
