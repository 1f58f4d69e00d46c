"""Products and scenes of `bench.compositing`: real photos that installed packages ship, and the toy world's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from p2i_ray.data.cutouts.colours import decontaminate, resize
from p2i_ray.data.images import Pixels, paste_product


class Placed(NamedTuple):
    """A product in a scene; all of one size."""

    name: str
    picture: Pixels  # (H, W, 3), the product pasted
    product: Pixels  # (H, W, 3)
    mask: Pixels  # (H, W)
    scene: Pixels  # (H, W, 3), without the product


PRODUCTS = {"cup": 0.52, "dahlia": 0.38, "present": 0.46, "pagoda": 0.62}  # their height, in the picture's


def real(side: int) -> Iterator[Placed]:
    """Every real product in every real scene, its foot at 0.86 of the picture's height."""
    found = cutouts()
    for name, scene in scenes(side).items():
        for product, height in PRODUCTS.items():
            yield placed(f"{product} on {name}", found[product], scene, round(height * side))


def placed(name: str, cutout: Pixels, scene: Pixels, height: int) -> Placed:
    """A cutout (h, w, 4) scaled to a height and pasted into a scene (H, W, 3)."""
    rows, columns = (np.flatnonzero((cutout[..., 3] >= 128).any(axis=axis)) for axis in (1, 0))
    tight = cutout[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    small = resize(np.ascontiguousarray(tight), round(tight.shape[1] * height / len(tight)), height)
    canvas = np.zeros((*scene.shape[:2], 4), np.uint8)
    top, left = round(0.86 * len(scene)) - height, (scene.shape[1] - small.shape[1]) // 2
    canvas[top : top + height, left : left + small.shape[1]] = small
    product, mask = np.ascontiguousarray(canvas[..., :3]), np.ascontiguousarray(canvas[..., 3])
    picture = paste_product(scene, product, mask)
    return Placed(name=name, picture=picture, product=product, mask=mask, scene=scene)


def toy(count: int) -> Iterator[Placed]:
    """Clean pictures of the toy world; each product on the ground that it was drawn on."""
    from p2i_ray.mini.world import CLEAN, render

    for index in range(count):
        seen = render(11, index, CLEAN)
        name = f"toy {seen.name}"
        yield Placed(name=name, picture=seen.image, product=seen.image, mask=seen.mask, scene=seen.image)


@functools.cache
def cutouts() -> dict[str, Pixels]:
    """RGBA cutouts by GrabCut; the present's own alpha."""
    import matplotlib
    import skimage
    from sklearn import datasets

    from p2i_ray.data.cutouts.grabcut import find_product
    from p2i_ray.data.cutouts.settings import CutoutConfig

    photos, samples = Path(skimage.__file__).parent / "data", Path(datasets.__file__).parent / "images"
    found = {}
    files = (("cup", photos / "coffee.png"), ("dahlia", samples / "flower.jpg"), ("pagoda", samples / "china.jpg"))
    for name, file in files:
        photo = np.asarray(Image.open(file).convert("RGB"))
        found[name] = decontaminate(photo, find_product(photo, CutoutConfig()).mask)
    present = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "Minduka_Present_Blue_Pack.png"
    found["present"] = _without_shadow(np.asarray(Image.open(present)))
    return found


def _without_shadow(cutout: Pixels) -> Pixels:
    """The present without the dark shadow that is part of its drawing."""
    alpha = np.where(cutout[..., 3] >= 250, cutout[..., 3], 0).astype(np.uint8)
    return np.dstack([cutout[..., :3], cv2.GaussianBlur(alpha, (3, 3), 0.6)])


def scenes(side: int) -> dict[str, Pixels]:
    """Real photos as square scenes; two are put together from photos of a wall and of a ground."""
    import skimage
    from sklearn import datasets

    photos, samples = Path(skimage.__file__).parent / "data", Path(datasets.__file__).parent / "images"
    read: Callable[[Path], Pixels] = lambda file: np.asarray(Image.open(file).convert("RGB"))  # noqa: E731
    brick, gravel, grass = (read(photos / f"{name}.png") for name in ("brick", "gravel", "grass"))
    return {
        "garage": _square(read(photos / "motorcycle_left.png")[:, 240:], side),
        "gravel": _room(_toned(brick, (0.62, 0.5, 0.44)), _toned(gravel, (0.95, 0.92, 0.86)), side, lit=0.0),
        "lawn, lit from the left": _room(
            _toned(brick, (0.95, 0.9, 0.85)), _toned(grass, (0.62, 0.85, 0.4)), side, lit=1.2
        ),
        "studio": _studio(side),
        "dusk": _square(read(photos / "rocket.jpg"), side),
        "leaves": _square(read(samples / "flower.jpg")[:, :300], side),
    }


def _square(photo: Pixels, side: int) -> Pixels:
    """The middle square of a photo (h, w, 3) at a size."""
    least = min(photo.shape[:2])
    top, left = (photo.shape[0] - least) // 2, (photo.shape[1] - least) // 2
    part = photo[top : top + least, left : left + least]
    return np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _toned(texture: Pixels, tone: tuple[float, float, float]) -> Pixels:
    return np.asarray((texture * np.array(tone)).clip(0, 255).astype(np.uint8))


def _room(wall: Pixels, ground: Pixels, side: int, *, lit: float) -> Pixels:
    """A wall above a ground seen at a slant; `lit` is the logarithm by which the left side has more light."""
    line = round(0.52 * side)
    scene = np.asarray(cv2.resize(wall, (side, side), interpolation=cv2.INTER_AREA), np.uint8).copy()
    given = np.array([[0, 0], [512, 0], [512, 512], [0, 512]], np.float32)
    seen = np.array([[0, line], [side, line], [1.6 * side, side], [-0.6 * side, side]], np.float32)
    matrix = cv2.getPerspectiveTransform(given, seen)
    slanted = cv2.warpPerspective(cv2.resize(ground, (512, 512)), matrix, (side, side), flags=cv2.INTER_AREA)
    scene[line:] = slanted[line:]
    light = np.exp(lit * (0.5 - np.arange(side) / side) / 2.2)[None, :, None]
    return np.asarray((scene * light).clip(0, 255).astype(np.uint8))


def _studio(side: int) -> Pixels:
    rows = np.linspace(214, 236, side)[:, None, None] * np.array([1.0, 0.99, 0.965])
    return np.asarray(np.broadcast_to(rows, (side, side, 3)).astype(np.uint8).copy())
