"""Fidelity against integration: what shadow and light do to products in scenes, and what pasting leaves at the seam.

    python -m bench.compositing [STRIP]     # also writes the picture strip of docs/serving.md

Products and scenes are real photos that installed packages ship, and the toy world's (compositing_scenes.py). Figures
of a setting are means over the pictures:

    colour      CIEDE2000 of the product's pixels to what they were: fidelity
    unchanged   share of them that differ by no more than 2 of 255
    seam        CIEDE2000 of neighbouring pixels across the outline
    rim         CIEDE2000 of the mean colours of the product's rim and of the scene's ring around it: integration
    spread      the difference of their deviations, in CIELAB
    ms_512      processor time of a picture of 512 x 512, milliseconds, the median; ms_1024 likewise; one thread

The ways to paste are compared with the truth: a product that was drawn into the scene at four times the size, its edges
mixed by levels or by light. Given is a photo of it on white with its exact mask. `error` is the CIEDE2000 of the soft
edge's pixels to the truth, `seam` how much more contrast there is across the outline than in the truth.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.compositing_scenes import PRODUCTS, Placed, cutouts, placed, real, scenes, toy
from p2i_ray.compositing import outline
from p2i_ray.compositing.finish import finish
from p2i_ray.compositing.levels import LINEAR, encoded
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.data.cutouts.colours import decontaminate, fill_clear, unmatte
from p2i_ray.data.images import Pixels, paste_product
from p2i_ray.evaluate.metrics import product_truth
from p2i_ray.evaluate.metrics.batch import MeasuredImages
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

SIDE = 512
RIM = 0.08  # of the product's size: what counts as its rim
TOY = 24  # pictures
FINER = 4  # times, of the truth's drawing
DRAWN = 256  # pixels, of the pictures that are compared with it
TIMED = (512, 1024)  # pixels
REPEATS = 3
SHADOW = 0.6
SETTINGS = {
    "off": {},
    "shadow": {"shadow": SHADOW},
    **{
        f"{mode}_{most}": {"light": mode, "light_strength": 1, "max_colour_difference": most}
        for mode in ("rim", "whole")
        for most in (1, 2, 3, 6)
    },
    "shadow_rim_3": {"shadow": SHADOW, "light": "rim", "light_strength": 1, "max_colour_difference": 3},
}


class Figures(NamedTuple):
    """Of one picture."""

    colour: float
    unchanged: float
    seam: float
    rim: float
    spread: float
    shadow: float


def run() -> dict[str, float]:
    """The figures of every setting on real and toy pictures, and of every way to paste."""
    found: dict[str, float] = {}
    for kind, pictures in (("real", list(real(SIDE))), ("toy", list(toy(TOY)))):
        for name, values in SETTINGS.items():
            settings = CompositingConfig.model_validate(values)
            rows = [figures(one, settings) for one in pictures]
            means = zip(Figures._fields, np.mean(rows, axis=0), strict=True)
            found |= {f"compositing_{kind}_{name}_{field}": float(mean) for field, mean in means}
    for side in TIMED:
        pictures = list(itertools.islice(real(side), 0, None, 5))
        for name, values in SETTINGS.items():
            settings = CompositingConfig.model_validate(values)
            found[f"compositing_{name}_ms_{side}"] = milliseconds(pictures, settings)
    return found | pasting()


def figures(one: Placed, settings: CompositingConfig) -> Figures:
    """Of a picture that is finished by these settings."""
    pixels, done = finish(one.picture, one.product, one.mask, settings)
    row = measured(pixels, one)
    rim = (outline.rim(one.mask, RIM) > 0) & (one.mask == 255)
    inside, outside = lab(pixels[rim]), lab(one.scene[outline.ring(one.mask)])
    return Figures(
        colour=product_truth.colour(row),
        unchanged=product_truth.unchanged(row),
        seam=product_truth.seam(row),
        rim=float(ciede2000(inside.mean(axis=0), outside.mean(axis=0))),
        spread=float(np.linalg.norm(inside.std(axis=0) - outside.std(axis=0))),
        shadow=done.shadow,
    )


def measured(pixels: Pixels, one: Placed) -> MeasuredImages:
    """A picture as the metrics take it; its cutout is the product as it was pasted."""
    return MeasuredImages(picture=pixels, product=one.product, background=one.scene, cutout=one.picture, mask=one.mask)


def milliseconds(pictures: Sequence[Placed], settings: CompositingConfig) -> float:
    """The median over pictures of the least processor time of several tries."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return statistics.median(min(_timed(one, settings) for _ in range(REPEATS)) for one in pictures)
    finally:
        cv2.setNumThreads(threads)


def _timed(one: Placed, settings: CompositingConfig) -> float:
    start = time.thread_time()
    finish(one.picture, one.product, one.mask, settings)
    return 1000 * (time.thread_time() - start)


Light = NDArray[np.float64]
PRODUCT_OF: dict[str, Callable[[Pixels, Pixels], Pixels]] = {  # of a photo on white and its mask: the product's colours
    "as_sent": lambda photo, mask: fill_clear(np.dstack([photo, mask])),
    "unmatte": lambda photo, mask: unmatte(fill_clear(np.dstack([photo, mask]))),
    "decontaminate": decontaminate,
}


def pasting() -> dict[str, float]:
    """The error at soft edges by how edges were mixed, whose colours are pasted, and how they are mixed again."""
    seen: dict[str, list[tuple[float, float]]] = {}
    for drawn in ("levels", "light"):
        for fine, mask, scene in _drawn():
            truth, photo = (_shot(fine, back, drawn) for back in (scene, np.full_like(scene, 255)))
            for colours, product_of in PRODUCT_OF.items():
                product = product_of(photo, mask)[..., :3]
                for mixed, picture in (
                    ("levels", paste_product(scene, product, mask)),
                    ("light", _by_light(product, scene, mask)),
                ):
                    values = seen.setdefault(f"{drawn}_{colours}_{mixed}", [])
                    values.append((_edge_error(picture, truth, mask), _seam(picture, mask) - _seam(truth, mask)))
    return {
        f"compositing_paste_{name}_{field}": float(mean)
        for name, values in seen.items()
        for field, mean in zip(("error", "seam"), np.mean(values, axis=0), strict=True)
    }


def _drawn() -> Iterator[tuple[Pixels, Pixels, Pixels]]:
    """Products drawn finely (4 S, 4 S, 4) with hard edges, their masks (S, S), and scenes (S, S, 3)."""
    empty = np.zeros((FINER * DRAWN, FINER * DRAWN, 3), np.uint8)
    for scene in scenes(DRAWN).values():
        for name, height in PRODUCTS.items():
            large = placed(name, cutouts()[name], empty, round(FINER * height * DRAWN))
            hard = np.where(large.mask >= outline.HALF, 255, 0).astype(np.uint8)
            fine = fill_clear(np.dstack([large.product, hard]))
            mask = cv2.resize(hard, (DRAWN, DRAWN), interpolation=cv2.INTER_AREA)
            yield fine, np.asarray(mask, np.uint8), scene


def _shot(fine: Pixels, back: Pixels, drawn: str) -> Pixels:
    """A finely drawn product before a background (S, S, 3), every pixel the mean of what it shows."""
    behind = cv2.resize(back, fine.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    whole = np.where(fine[..., 3:] > 0, fine[..., :3], behind)
    values = (LINEAR[whole] if drawn == "light" else whole).astype(np.float32)
    small = np.asarray(cv2.resize(values, back.shape[1::-1], interpolation=cv2.INTER_AREA), np.float64)
    return _levels(encoded(small) if drawn == "light" else small)


def _by_light(product: Pixels, scene: Pixels, mask: Pixels) -> Pixels:
    share = mask[..., None] / 255
    return _levels(encoded(LINEAR[product] * share + LINEAR[scene] * (1 - share)))


def _levels(values: Light) -> Pixels:
    return np.asarray(np.rint(values).clip(0, 255).astype(np.uint8))


def _edge_error(picture: Pixels, truth: Pixels, mask: Pixels) -> float:
    soft = (mask > 5) & (mask < 250)
    return float(ciede2000(lab(picture[soft]), lab(truth[soft])).mean())


def _seam(picture: Pixels, mask: Pixels) -> float:
    return product_truth.seam(
        MeasuredImages(picture=picture, product=picture, background=picture, cutout=picture, mask=mask)
    )


def strip(out: Path) -> None:
    """Write the strip: a row a picture; pasted, with a shadow, and with it the rim's and the whole product's light."""
    shown = ("present on gravel", "cup on studio", "dahlia on lawn, lit from the left")
    shadow: dict[str, object] = {"shadow": SHADOW, "light_strength": 1}
    ways: tuple[dict[str, object], ...] = ({}, shadow, {**shadow, "light": "rim"}, {**shadow, "light": "whole"})
    rows = []
    for one in real(SIDE):
        if one.name in shown:
            chosen = [CompositingConfig.model_validate(values) for values in ways]
            parts = [finish(one.picture, one.product, one.mask, settings).pixels for settings in chosen]
            rows.append(np.hstack([pixels[150:480, 76:436] for pixels in parts]))
    Image.fromarray(np.vstack(rows)).resize((960, 660), Image.Resampling.LANCZOS).save(out, quality=82)


if __name__ == "__main__":
    from bench.tables import as_lines

    print(as_lines(run()))
    for place in sys.argv[1:]:
        strip(Path(place))
