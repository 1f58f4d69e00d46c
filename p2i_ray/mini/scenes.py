"""The eight scenes, as drawing functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from p2i_ray.mini.names import RGB
from p2i_ray.mini.pen import SIZE, ZOOM, Pen, shade

# A scene draws with a pen and the jitter u: 12 uniform numbers, used by position.


def _sky(pen: Pen, top: RGB, bottom: RGB, until: float) -> None:
    steps = 10
    for i in range(steps):
        t = i / (steps - 1)
        red, green, blue = (int(a + (b - a) * t) for a, b in zip(top, bottom, strict=True))
        pen.rect((0, until * i / steps, 64, until * (i + 1) / steps), (red, green, blue))


def _beach(pen: Pen, u: Sequence[float]) -> None:
    horizon = 27 + 6 * u[0]
    _sky(pen, (84, 172, 242), (206, 236, 250), horizon)
    sun = 6 + 52 * u[1]
    pen.oval((sun - 6, 3, sun + 6, 15), (255, 240, 170))
    pen.oval((sun - 4.5, 4.5, sun + 4.5, 13.5), (255, 214, 74))
    pen.rect((0, horizon, 64, 64), (30, 128, 200))
    pen.rect((0, horizon + 4, 64, 64), (52, 160, 216))
    shore = horizon + 10
    pen.poly(
        [(0, shore + 3 * u[2]), (24, shore - 1), (44, shore + 2), (64, shore - 2 * u[3]), (64, 64), (0, 64)],
        (246, 250, 246),
    )
    pen.poly(
        [(0, shore + 2 + 3 * u[2]), (24, shore + 1), (44, shore + 4), (64, shore + 2 - 2 * u[3]), (64, 64), (0, 64)],
        (240, 214, 150),
    )
    pen.poly([(0, 56), (30, 52 + 4 * u[4]), (64, 57), (64, 64), (0, 64)], (228, 196, 128))
    x = 4 + 10 * u[5] if u[6] < 0.5 else 50 + 10 * u[5]
    pen.line([(x, shore + 14), (x + 1, 22)], (120, 84, 56), 1.2)
    pen.half((x - 13, 16, x + 15, 44), (232, 82, 58))
    pen.half((x - 4, 16, x + 6, 44), (250, 244, 232))


def _kitchen(pen: Pen, u: Sequence[float]) -> None:
    counter = 41 + 4 * u[0]
    pen.rect((0, 0, 64, 64), (238, 242, 238))
    for i in range(9):
        pen.line([(i * 8 - 4 * u[1], 0), (i * 8 - 4 * u[1], counter)], (176, 200, 204), 0.5)
        pen.line([(0, i * 6), (64, i * 6)], (176, 200, 204), 0.5)
    wood: RGB = (150 + int(20 * u[2]), 98, 58)
    split = 18 + 12 * u[3]
    pen.rect((0, 0, split, 14), wood)
    pen.rect((1.5, 1, split / 2 - 0.5, 12.5), shade(wood, 1.25))
    pen.rect((split / 2 + 0.5, 1, split - 1.5, 12.5), shade(wood, 1.25))
    hood = split + 17
    pen.poly(
        [(hood - 4, 0), (hood + 4, 0), (hood + 4, 7), (hood + 10, 14), (hood - 10, 14), (hood - 4, 7)], (150, 160, 168)
    )
    pen.rect((0, counter, 64, counter + 3), (96, 72, 58))
    pen.rect((0, counter + 3, 64, 64), (196, 138, 84))
    for x in (15, 32, 49):
        pen.line([(x + 3 * u[4], counter + 3), (x + 3 * u[4], 64)], (160, 106, 62), 0.6)
    pot = hood - 1
    pen.round((pot - 7, counter - 8, pot + 7, counter), 1.5, (70, 78, 92))
    pen.rect((pot - 9, counter - 7, pot + 9, counter - 5.5), (70, 78, 92))
    pen.rect((pot - 7, counter - 9.5, pot + 7, counter - 8), (110, 120, 134))


def _bathroom(pen: Pen, u: Sequence[float]) -> None:
    basin = 40 + 4 * u[0]
    pen.rect((0, 0, 64, 64), (250, 190, 212))
    for stripe in range(-4, 64, 10):
        pen.rect((stripe + 6 * u[1], 0, stripe + 5 + 6 * u[1], basin), (246, 176, 202))
    x = 14 + 36 * u[2]
    pen.oval((x - 13, 3, x + 13, 35), (206, 158, 66))
    pen.oval((x - 11, 5, x + 11, 33), (222, 240, 248))
    pen.line([(x - 6, 16), (x + 2, 8)], (250, 254, 255), 1.4)
    pen.line([(x - 6, 22), (x + 6, 10)], (250, 254, 255), 0.9)
    towel = 54 if x < 32 else 10
    pen.rect((towel - 7, 16, towel + 7, 17.5), (160, 150, 160))
    pen.rect((towel - 5, 16.5, towel + 5, 31), (126, 200, 196))
    pen.rect((towel - 5, 27, towel + 5, 28.5), (226, 246, 242))
    pen.rect((0, basin, 64, 64), (250, 246, 248))
    pen.rect((0, basin, 64, basin + 1.5), (216, 204, 214))
    pen.line([(0, 52), (20 + 10 * u[3], 56), (64, 50 + 6 * u[4])], (228, 220, 230), 0.7)
    pen.line([(0, 62), (40, 58), (64, 61)], (228, 220, 230), 0.7)


def _classroom(pen: Pen, u: Sequence[float]) -> None:
    floor = 43 + 3 * u[0]
    pen.rect((0, 0, 64, 64), (244, 226, 190))
    left, right = 4 + 5 * u[1], 58 - 5 * u[2]
    pen.rect((left, 4, right, 33), (134, 90, 50))
    pen.rect((left + 1.5, 5.5, right - 1.5, 31.5), (32, 98, 74))
    for i in range(3):
        start, y = left + 5 + 22 * u[3 + i], 10 + 6 * i
        pen.line([(start, y), (start + 4, y - 1.5), (start + 8, y + 1), (start + 14, y)], (206, 226, 214), 0.7)
    pen.rect((left + 4, 32, left + 12, 34), (240, 240, 236))
    pen.rect((0, floor, 64, 64), (196, 146, 92))
    pen.rect((0, floor, 64, floor + 1.5), (150, 104, 62))
    for i, colour in enumerate(((206, 64, 58), (62, 96, 190), (232, 184, 62))):
        x = 2 + 4 * u[6] if u[7] < 0.5 else 48 + 3 * u[6]
        pen.rect((x, floor - 3 * i - 2, x + 12 - i, floor - 3 * i + 1), colour)


def _forest(pen: Pen, u: Sequence[float]) -> None:
    ground = 40 + 4 * u[0]
    _sky(pen, (150, 206, 226), (226, 240, 214), ground)
    for layer, (colour, top, width) in enumerate((((116, 166, 130), 12, 8), ((46, 116, 66), 8, 10))):
        for i in range(6):
            x = i * 12.5 + 8 * u[1 + layer] - 6 + 3 * layer + 3 * u[(i * 5 + layer) % 12]
            peak = top + 9 * u[(i * 3 + layer) % 12]
            pen.rect((x - 1, ground - 6, x + 1, ground + 2), (98, 70, 46))
            for k in range(3):
                y, w = peak + k * (ground - peak) * 0.25, width * (0.5 + 0.25 * k)
                pen.poly(
                    [(x, y), (x - w, y + (ground - peak) * 0.42), (x + w, y + (ground - peak) * 0.42)],
                    shade(colour, 1 - 0.07 * k),
                )
    pen.poly([(0, ground), (32, ground - 2 * u[3]), (64, ground), (64, 64), (0, 64)], (104, 150, 72))
    pen.poly([(0, ground + 9), (20 + 20 * u[4], ground + 6), (64, ground + 11), (64, 64), (0, 64)], (86, 130, 60))


def _living_room(pen: Pen, u: Sequence[float]) -> None:
    floor = 42 + 4 * u[0]
    pen.rect((0, 0, 64, 64), (248, 222, 164))
    window = 6 + 6 * u[1] if u[2] < 0.5 else 36 + 6 * u[1]
    pen.rect((window - 1.5, 4.5, window + 19.5, 26.5), (255, 252, 244))
    pen.rect((window, 6, window + 18, 25), (150, 208, 244))
    pen.rect((window + 8.4, 6, window + 9.6, 25), (255, 252, 244))
    pen.rect((window, 15, window + 18, 16), (255, 252, 244))
    for side in (window - 5, window + 18):
        pen.rect((side, 3, side + 5, 30), (206, 112, 84))
    frame = 44 + 6 * u[3] if u[2] < 0.5 else 6 + 6 * u[3]
    pen.rect((frame, 8, frame + 13, 20), (120, 84, 56))
    pen.rect((frame + 1.5, 9.5, frame + 11.5, 18.5), (238, 236, 222))
    pen.half((frame + 2, 13, frame + 11, 24), (112, 160, 152))
    pen.rect((0, floor, 64, 64), (178, 124, 78))
    pen.rect((0, floor - 1.5, 64, floor), (250, 244, 230))
    pen.oval((2 + 6 * u[4], floor + 5, 62 - 6 * u[5], floor + 20), (150, 64, 84))
    pen.oval((7 + 6 * u[4], floor + 7, 57 - 6 * u[5], floor + 17), (186, 96, 106))
    plant = frame + 6
    pen.poly(
        [(plant - 4, floor - 8), (plant + 4, floor - 8), (plant + 3, floor + 1), (plant - 3, floor + 1)],
        (222, 214, 202),
    )
    for dx, dy in ((-5, -6), (0, -10), (5, -6)):
        pen.oval((plant + dx - 3.5, floor - 9 + dy, plant + dx + 3.5, floor - 5), (74, 142, 86))


def _stadium(pen: Pen, u: Sequence[float]) -> None:
    _sky(pen, (104, 168, 234), (196, 222, 246), 14)
    pen.rect((0, 10, 64, 29), (106, 110, 140))
    for row in range(5):
        for i in range(16):
            tone = u[(row * 7 + i * 5) % 12]
            colour = ((226, 92, 84), (240, 226, 150), (116, 172, 232), (236, 236, 240))[int(tone * 3.99)]
            pen.oval((i * 4 + (row % 2) * 2, 12 + row * 3.2, i * 4 + 2.2 + (row % 2) * 2, 14.2 + row * 3.2), colour)
    pen.rect((0, 28, 64, 36), (92, 170, 78))
    pen.rect((0, 28, 64, 29.5), (240, 240, 244))
    pen.rect((0, 36, 64, 64), (202, 84, 58))
    vanish = 20 + 24 * u[0]
    for i in range(-3, 11):
        foot = (i - 3.5) * 15 + 32
        pen.line([(vanish + (foot - vanish) * 0.35, 36), (foot, 64)], (248, 236, 228), 0.8)


def _snow(pen: Pen, u: Sequence[float]) -> None:
    ground = 39 + 4 * u[0]
    _sky(pen, (70, 132, 214), (190, 220, 246), ground)
    for i in range(3):
        x, peak, half = 8 + 24 * i + 10 * u[1 + i], 8 + 10 * u[4 + i], 17 + 5 * u[7 + i]
        pen.poly([(x, peak), (x - half, ground), (x + half, ground)], (112, 130, 172))
        pen.poly([(x, peak), (x, ground), (x + half, ground)], (92, 108, 152))
        cap = (ground - peak) * 0.42
        w = half * 0.42
        pen.poly(
            [
                (x, peak),
                (x - w, peak + cap),
                (x - w / 3, peak + cap * 0.7),
                (x, peak + cap),
                (x + w / 2, peak + cap * 0.75),
                (x + w, peak + cap),
            ],
            (250, 252, 255),
        )
    pen.rect((0, ground, 64, 64), (240, 246, 252))
    pen.poly([(0, ground + 7), (30 * u[10] + 10, ground + 3), (64, ground + 9), (64, 64), (0, 64)], (222, 234, 248))
    pen.poly([(0, 60), (40, 55 + 3 * u[11]), (64, 59), (64, 64), (0, 64)], (246, 250, 254))
    for x in (4 + 6 * u[2], 56 + 5 * u[5]):
        for k in range(3):
            pen.poly(
                [(x, ground - 14 + 5 * k), (x - 3 - k, ground - 7 + 5 * k), (x + 3 + k, ground - 7 + 5 * k)],
                (40, 96, 92),
            )


SCENE_RENDERERS: dict[str, Callable[[Pen, Sequence[float]], None]] = {
    "beach": _beach,
    "kitchen": _kitchen,
    "bathroom": _bathroom,
    "classroom": _classroom,
    "forest": _forest,
    "living room": _living_room,
    "stadium": _stadium,
    "snow": _snow,
}


def draw_scene(scene: str, rng: np.random.Generator) -> Image.Image:
    """Draw one of `SCENE_RENDERERS` with jittered parts and light, mirrored half of the time: RGB, 64x64."""
    canvas = Image.new("RGB", (SIZE * ZOOM, SIZE * ZOOM))
    SCENE_RENDERERS[scene](Pen(canvas), rng.random(12).tolist())
    gains = 0.98 + 0.12 * (rng.random() - 0.5) + 0.08 * (rng.random(3) - 0.5)
    curve = np.minimum(np.arange(256) * gains[:, None], 255).astype(np.uint8)  # (3, 256)
    lit = canvas.reduce(ZOOM).point(curve.ravel().tolist())
    return lit.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else lit
