"""The recurring elements of the toy world's brand styles, as drawing functions on a transparent layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from p2i_ray.mini.names import RGB
from p2i_ray.mini.pen import SIZE, ZOOM, Pen

Motif = Callable[[Pen, RGB, RGB, tuple[float, float]], None]  # (pen, two inks, where it lies: x and y, px)

# Most lie in the upper half: products stand in the lower one, and would hide them.


def _band(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    y = at[1]
    pen.rect((0, y, 64, y + 4.5), ink)
    pen.rect((0, y + 6, 64, y + 7.5), second)


def _dots(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    for row in range(3):
        for column in range(-1, 8):
            x, y = at[0] + 9 * column + 4.5 * (row % 2), at[1] + 6.5 * row
            pen.oval((x - 2.2, y - 2.2, x + 2.2, y + 2.2), second if row == 1 else ink)


def _frame(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    near, far = at[0], SIZE - at[0]
    for box in ((near, near, far, near + 2.5), (near, far - 2.5, far, far)):
        pen.rect(box, ink)
    for box in ((near, near, near + 2.5, far), (far - 2.5, near, far, far)):
        pen.rect(box, ink)
    for x, y in ((near, near), (far, near), (near, far), (far, far)):
        pen.rect((x - 3.5, y - 3.5, x + 3.5, y + 3.5), second)


def _leaves(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    x, y = at
    for dx, dy, colour in ((-16, 5, second), (-9, 13, ink), (0, 17, second), (9, 13, ink), (16, 5, second)):
        tip, width = (x + dx, y + dy), 3.4
        along = max((dx * dx + dy * dy) ** 0.5, 1)
        sx, sy = -dy / along * width, dx / along * width
        middle = (x + dx * 0.55, y + dy * 0.55)
        pen.poly([(x, y), (middle[0] + sx, middle[1] + sy), tip, (middle[0] - sx, middle[1] - sy)], colour)


def _arch(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    x, y = at
    for reach, colour in ((17.0, ink), (12.5, second)):  # a ring of two colours, open below
        for turn in range(24):  # as dots along half a circle: what lies within keeps the scene
            dx, dy = _ON_HALF_CIRCLE[turn]
            pen.oval((x + reach * dx - 1.9, y - reach * dy - 1.9, x + reach * dx + 1.9, y - reach * dy + 1.9), colour)
        for side in (-reach, reach):
            pen.rect((x + side - 1.9, y, x + side + 1.9, y + 14), colour)


def _disc(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    x, y = at
    pen.oval((x - 11, y - 11, x + 11, y + 11), second)
    pen.oval((x - 8.5, y - 8.5, x + 8.5, y + 8.5), ink)


def _waves(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    for row, colour in enumerate((ink, second)):
        for column in range(-1, 6):
            x, y = at[0] + 12 * column + 6 * row, at[1] + 6 * row
            pen.half((x - 6, y - 6, x + 6, y + 6), colour, 0, 180)


def _stripes(pen: Pen, ink: RGB, second: RGB, at: tuple[float, float]) -> None:
    x, y = at
    for number in range(4):  # across the corner, from the inside out
        near, far = 26 - 7 * number, 22.5 - 7 * number
        corner = [(x - near, y), (x - far, y), (x, y + far), (x, y + near)]
        pen.poly(corner, second if number % 2 else ink)


# Written out rather than taken from sine and cosine, whose last digit depends on the machine's library.
_QUARTER = ((1.0, 0.065), (0.98, 0.195), (0.946, 0.321), (0.896, 0.442), (0.831, 0.556), (0.752, 0.659))
_RISING = (*_QUARTER, *((y, x) for x, y in reversed(_QUARTER)))
_ON_HALF_CIRCLE = (*_RISING, *((-x, y) for x, y in reversed(_RISING)))

MOTIFS: dict[str, Motif] = {
    "band": _band,
    "dots": _dots,
    "frame": _frame,
    "leaves": _leaves,
    "arch": _arch,
    "disc": _disc,
    "waves": _waves,
    "stripes": _stripes,
}


def draw_motif(name: str, inks: tuple[RGB, RGB], at: tuple[float, float]) -> np.ndarray:
    """Draw one of `MOTIFS`.

    Args:
        name: of the motif.
        inks: its two colours.
        at: where it lies, x and y in pixels; a frame takes x as its distance from the edge.

    Returns:
        Its colour and coverage, uint8 (64, 64, 4).
    """
    canvas = Image.new("RGBA", (SIZE * ZOOM, SIZE * ZOOM))
    MOTIFS[name](Pen(canvas), *inks, at)
    return np.asarray(canvas.reduce(ZOOM))
