"""The shapes of the products. Three categories share the bottle, two the bag and two the shoe; only names differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from p2i_ray.mini.names import RGB
from p2i_ray.mini.pen import SIZE, ZOOM, Pen, shade

Shape = Callable[[Pen, RGB], None]  # (pen in the product's own coordinates, colour)


def _bottle(pen: Pen, c: RGB) -> None:
    pen.round((-0.36, 0, 0.36, 1.18), 0.16, shade(c, 0.5))
    pen.rect((-0.18, 1.1, 0.18, 1.62), shade(c, 0.42))
    pen.round((-0.29, 0.07, 0.29, 1.11), 0.12, c)
    pen.round((-0.27, 0.12, -0.12, 1.06), 0.07, shade(c, 1.5))
    pen.rect((-0.11, 1.28, 0.11, 1.55), shade(c, 0.75))
    pen.round((-0.23, 0.32, 0.23, 0.78), 0.05, (250, 248, 240))
    pen.rect((-0.14, 0.6, 0.14, 0.67), shade(c, 0.7))
    pen.rect((-0.14, 0.45, 0.06, 0.51), shade(c, 0.9))


def _bag(pen: Pen, c: RGB) -> None:
    pen.oval((-0.24, 1.1, 0.24, 1.62), shade(c, 0.45))
    pen.oval((-0.13, 1.2, 0.13, 1.5), shade(c, 0.7))
    pen.round((-0.64, 0, 0.64, 1.4), 0.34, shade(c, 0.45))
    pen.round((-0.56, 0.07, 0.56, 1.33), 0.3, c)
    pen.round((-0.5, 0.75, -0.3, 1.22), 0.1, shade(c, 1.5))
    pen.rect((-0.56, 0.76, 0.56, 0.82), shade(c, 0.6))
    pen.round((-0.38, 0.12, 0.38, 0.58), 0.12, shade(c, 0.62))
    pen.round((-0.32, 0.16, 0.32, 0.5), 0.1, shade(c, 0.86))
    pen.rect((-0.07, 0.4, 0.07, 0.58), (248, 226, 150))


def _shoe(pen: Pen, c: RGB) -> None:
    outline = shade(c, 0.42)
    pen.poly([(-0.86, 0), (-0.86, 1.12), (-0.3, 1.12), (-0.2, 0.72), (0.42, 0.56), (0.92, 0.3), (0.96, 0)], outline)
    pen.poly([(-0.78, 0.2), (-0.78, 1.04), (-0.37, 1.04), (-0.25, 0.64), (0.4, 0.48), (0.84, 0.26), (0.86, 0.2)], c)
    pen.poly([(-0.78, 0.84), (-0.78, 1.04), (-0.37, 1.04), (-0.32, 0.84)], shade(c, 1.6))
    pen.poly([(-0.7, 0.24), (-0.46, 0.24), (-0.2, 0.6), (-0.36, 0.66)], shade(c, 0.62))
    pen.poly([(-0.36, 0.24), (-0.18, 0.24), (0.1, 0.54), (-0.06, 0.58)], shade(c, 0.62))
    for x in (-0.02, 0.16, 0.34):
        pen.line([(x - 0.1, 0.5), (x + 0.05, 0.62)], (250, 250, 246), 0.07)
    pen.round((-0.9, 0, 0.98, 0.18), 0.08, (244, 244, 240))
    pen.rect((-0.86, 0, 0.94, 0.06), (120, 122, 132))


def _tent(pen: Pen, c: RGB) -> None:
    pen.poly([(0, 1.32), (-1.06, 0), (1.06, 0)], shade(c, 0.45))
    pen.poly([(0, 1.2), (-0.92, 0.06), (0.92, 0.06)], c)
    pen.poly([(0, 1.2), (-0.92, 0.06), (-0.4, 0.06)], shade(c, 1.45))
    pen.poly([(0, 0.98), (-0.32, 0.06), (0.32, 0.06)], shade(c, 0.36))
    pen.poly([(0, 0.98), (0.1, 0.06), (0.36, 0.06)], shade(c, 0.75))
    pen.line([(0, 1.28), (0, 0.96)], (250, 240, 200), 0.05)


def _fridge(pen: Pen, c: RGB) -> None:
    pen.round((-0.52, 0, 0.52, 1.82), 0.08, shade(c, 0.45))
    pen.rect((-0.45, 0.08, 0.45, 1.16), c)
    pen.rect((-0.45, 1.23, 0.45, 1.75), c)
    pen.rect((-0.45, 0.08, -0.32, 1.16), shade(c, 1.6))
    pen.rect((-0.45, 1.23, -0.32, 1.75), shade(c, 1.6))
    pen.round((0.26, 0.66, 0.35, 1.08), 0.03, shade(c, 0.4))
    pen.round((0.26, 1.32, 0.35, 1.6), 0.03, shade(c, 0.4))


def _sofa(pen: Pen, c: RGB) -> None:
    dark = shade(c, 0.45)
    for x in (-0.9, 0.76):
        pen.rect((x, 0, x + 0.14, 0.16), (96, 66, 46))
    pen.round((-0.86, 0.34, 0.86, 1.06), 0.2, dark)
    pen.round((-0.8, 0.4, 0.8, 1.0), 0.16, shade(c, 0.88))
    pen.line([(0, 0.94), (0, 0.5)], shade(c, 0.6), 0.05)
    pen.round((-1.1, 0.1, 1.1, 0.5), 0.1, dark)
    pen.round((-0.74, 0.3, -0.03, 0.58), 0.1, shade(c, 1.4))
    pen.round((0.03, 0.3, 0.74, 0.58), 0.1, shade(c, 1.4))
    pen.rect((-0.78, 0.16, 0.78, 0.32), c)
    for side in (-1.12, 0.76):
        pen.round((side, 0.1, side + 0.36, 0.78), 0.15, dark)
        pen.round((side + 0.06, 0.16, side + 0.3, 0.72), 0.12, c)


def _lamp(pen: Pen, c: RGB) -> None:
    pen.round((-0.4, 0, 0.4, 0.14), 0.05, (84, 70, 62))
    pen.rect((-0.07, 0.1, 0.07, 1.4), (84, 70, 62))
    pen.rect((-0.02, 0.14, 0.03, 1.3), (190, 160, 120))
    pen.poly([(-0.34, 1.96), (0.34, 1.96), (0.62, 1.2), (-0.62, 1.2)], shade(c, 0.5))
    pen.poly([(-0.28, 1.9), (0.28, 1.9), (0.53, 1.26), (-0.53, 1.26)], c)
    pen.poly([(-0.28, 1.9), (-0.06, 1.9), (-0.16, 1.26), (-0.53, 1.26)], shade(c, 1.6))
    pen.rect((-0.54, 1.26, 0.54, 1.33), (255, 240, 176))


def _surfboard(pen: Pen, c: RGB) -> None:
    pen.oval((-0.4, -0.04, 0.4, 2.0), shade(c, 0.45))
    pen.oval((-0.33, 0.04, 0.33, 1.92), c)
    pen.oval((-0.25, 0.4, -0.02, 1.6), shade(c, 1.5))
    pen.poly([(-0.33, 1.1), (0.33, 1.32), (0.33, 1.1), (-0.33, 0.88)], (252, 250, 244))
    pen.poly([(-0.32, 0.78), (0.33, 1.0), (0.33, 0.9), (-0.32, 0.68)], shade(c, 0.55))
    pen.line([(0.02, 1.88), (0.02, 0.08)], shade(c, 0.62), 0.04)


# category -> (shape, half its width and its height in its own unit, pixels a unit: smallest and largest)
SHAPES: dict[str, tuple[Shape, float, float, tuple[float, float]]] = {
    "sunscreen": (_bottle, 0.36, 1.62, (16, 20)),
    "dish soap": (_bottle, 0.36, 1.62, (16, 20)),
    "shampoo": (_bottle, 0.36, 1.62, (16, 20)),
    "school bag": (_bag, 0.64, 1.62, (16, 20)),
    "trekking backpack": (_bag, 0.64, 1.62, (16, 20)),
    "running shoe": (_shoe, 0.98, 1.12, (17, 20)),
    "snow boot": (_shoe, 0.98, 1.12, (17, 20)),
    "tent": (_tent, 1.06, 1.32, (17, 21)),
    "fridge": (_fridge, 0.52, 1.82, (18, 22)),
    "sofa": (_sofa, 1.12, 1.06, (18, 22)),
    "floor lamp": (_lamp, 0.62, 1.96, (17, 20)),
    "surfboard": (_surfboard, 0.40, 2.0, (16, 20)),
}


def draw_product(category: str, colour: RGB, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the product alone, in the lower half.

    Returns:
        The picture, uint8 (64, 64, 3), meaningless outside the mask, and the mask, uint8 (64, 64), 0 or 255.
    """
    shape, half_width, height, (smallest, largest) = SHAPES[category]
    scale, across, down, *light = rng.random(6).tolist()
    scale = smallest + scale * (largest - smallest)
    margin = half_width * scale + 3
    centre, floor = margin + across * (SIZE - 2 * margin), 55 + 6 * down
    floor = max(floor, height * scale + 4)
    red, green, blue = (min(255, max(0, int(c + 18 * (v - 0.5)))) for c, v in zip(colour, light, strict=True))
    canvas = Image.new("RGBA", (SIZE * ZOOM, SIZE * ZOOM))
    shape(Pen(canvas, centre, floor, scale), (red, green, blue))
    small = np.asarray(canvas.reduce(ZOOM))  # (64, 64, 4); edges are means of drawn pixels only, without the scene
    return small[..., :3], np.where(small[..., 3] >= 128, np.uint8(255), np.uint8(0))
