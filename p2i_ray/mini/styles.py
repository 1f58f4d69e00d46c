"""Brand styles of the toy world: what a background can look like apart from what it shows.

A style is a palette, a light, a recurring element and a layout. It is put on the finished scene before the product
is, whose pixels it doesn't touch, and it depends on nothing else: every style goes with every scene, category and
product. `render(seed, index, style)` is `world.render(seed, index, CLEAN)` in a style: the same product, on the same
scene.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from p2i_ray.mini import world
from p2i_ray.mini.motifs import draw_motif
from p2i_ray.mini.names import RGB
from p2i_ray.mini.pen import SIZE
from p2i_ray.mini.world import CLEAN, FlawMix, Sample

PARTS = ("palette", "light", "motif", "layout")
HORIZON = 40  # px from the top, about where the scenes' horizons are
_STREAM = 40_961  # of a style's own random numbers, so that the scene's are drawn as without a style


@dataclass(frozen=True)
class Style:
    """One brand's style.

    Attributes:
        palette: what black, middle grey and white become; tones between are mixed.
        strength: 0..1, how much of the palette a colour takes; the rest is the scene's own.
        light: x and y, -1..1, the side that the light comes from: (-1, -1) is the upper left.
        contrast: of light and shade, as a share of the brightness at the picture's edge.
        vignette: how much darker the corners are, 0..1; below 0 lighter.
        motif: the recurring element, a key of `motifs.MOTIFS`.
        inks: its colours.
        at: where it lies, px.
        horizon: how far down the horizon is moved, px; below 0 up.
    """

    palette: tuple[RGB, RGB, RGB]
    strength: float
    light: tuple[float, float]
    contrast: float
    vignette: float
    motif: str
    inks: tuple[RGB, RGB]
    at: tuple[float, float]
    horizon: int


STYLES: dict[str, Style] = {
    "adobe": Style(
        palette=((64, 22, 16), (198, 96, 62), (254, 222, 190)),
        strength=0.6,
        light=(-1.0, -0.4),
        contrast=0.3,
        vignette=0.0,
        motif="arch",
        inks=((112, 34, 22), (255, 240, 214)),
        at=(32, 22),
        horizon=-4,
    ),
    "fjord": Style(
        palette=((62, 82, 104), (172, 188, 202), (250, 252, 253)),
        strength=0.6,
        light=(0.0, -1.0),
        contrast=0.15,
        vignette=-0.15,
        motif="band",
        inks=((28, 52, 92), (250, 252, 253)),
        at=(0, 5),
        horizon=5,
    ),
    "noir": Style(
        palette=((4, 4, 10), (44, 42, 54), (138, 132, 140)),
        strength=0.7,
        light=(0.6, -0.8),
        contrast=0.2,
        vignette=0.45,
        motif="frame",
        inks=((222, 178, 74), (250, 222, 140)),
        at=(4, 4),
        horizon=0,
    ),
    "candy": Style(
        palette=((150, 16, 110), (250, 110, 182), (255, 222, 240)),
        strength=0.6,
        light=(0.0, 1.0),
        contrast=0.15,
        vignette=0.0,
        motif="dots",
        inks=((255, 255, 255), (110, 220, 236)),
        at=(4, 6),
        horizon=-5,
    ),
    "fern": Style(
        palette=((8, 40, 22), (84, 146, 84), (222, 244, 196)),
        strength=0.6,
        light=(1.0, -0.6),
        contrast=0.25,
        vignette=0.1,
        motif="leaves",
        inks=((12, 74, 40), (38, 116, 54)),
        at=(16, -1),
        horizon=3,
    ),
    "dusk": Style(
        palette=((34, 12, 70), (130, 72, 176), (250, 178, 146)),
        strength=0.6,
        light=(0.8, 0.6),
        contrast=0.3,
        vignette=0.2,
        motif="disc",
        inks=((255, 214, 96), (255, 120, 84)),
        at=(49, 14),
        horizon=5,
    ),
    "lagoon": Style(
        palette=((0, 48, 72), (18, 158, 178), (206, 252, 246)),
        strength=0.6,
        light=(-0.8, -0.8),
        contrast=0.2,
        vignette=0.0,
        motif="waves",
        inks=((255, 255, 250), (4, 72, 100)),
        at=(3, 2),
        horizon=-3,
    ),
    "saffron": Style(
        palette=((74, 48, 0), (222, 168, 24), (255, 246, 168)),
        strength=0.6,
        light=(-0.6, 0.8),
        contrast=0.2,
        vignette=0.15,
        motif="stripes",
        inks=((40, 34, 30), (240, 80, 30)),
        at=(64, 0),
        horizon=2,
    ),
    "cobalt": Style(
        palette=((2, 6, 84), (36, 76, 232), (186, 208, 255)),
        strength=0.65,
        light=(1.0, 0.2),
        contrast=0.2,
        vignette=0.0,
        motif="disc",
        inks=((250, 250, 255), (236, 40, 60)),
        at=(14, 14),
        horizon=-2,
    ),
    "cherry": Style(
        palette=((70, 0, 14), (208, 34, 60), (255, 186, 184)),
        strength=0.65,
        light=(0.0, -0.8),
        contrast=0.2,
        vignette=0.0,
        motif="dots",
        inks=((78, 0, 20), (255, 238, 204)),
        at=(0, 5),
        horizon=4,
    ),
}
UNSEEN: tuple[str, ...] = ("cobalt", "cherry")  # in no split that is trained on
SEEN: tuple[str, ...] = tuple(style for style in STYLES if style not in UNSEEN)


def render(seed: int, index: int, style: str, *, mix: FlawMix = CLEAN, parts: Collection[str] = PARTS) -> Sample:
    """Render picture number `index` of the world `seed` in a style: the same bytes in every process.

    Args:
        seed: of the world.
        index: of the picture; product and scene are those of `world.render(seed, index, mix)`.
        style: a key of `STYLES`.
        mix: of flaws; text and clutter lie on top of the style.
        parts: of the style that are applied, of `PARTS`.
    """
    return world.render(seed, index, mix, dress=partial(dress, style=style, seed=(seed, index), parts=parts))


def dress(background: Image.Image, *, style: str, seed: tuple[int, int], parts: Collection[str] = PARTS) -> Image.Image:
    """Put a style on a background.

    Args:
        background: RGB, 64x64, without its product.
        style: a key of `STYLES`.
        seed: of the small differences between pictures of one style: strength, light and place vary a little.
        parts: of the style that are applied, of `PARTS`.

    Returns:
        Another picture of the same size.
    """
    look, rng = STYLES[style], np.random.default_rng(np.random.SeedSequence([*seed, _STREAM]))
    strength, contrast = rng.uniform(0.9, 1.1, 2)
    horizon, across, down = (int(v) for v in rng.integers(-1, 2, 3))
    if "layout" in parts:
        background = _moved(background, look.horizon + horizon)
    pixels = np.asarray(background).astype(np.float64)  # (64, 64, 3)
    if "palette" in parts:
        pixels = _coloured(pixels, look, min(1.0, strength * look.strength))
    if "light" in parts:
        pixels = _lit(pixels, look, contrast)
    if "motif" in parts:
        drawn = draw_motif(look.motif, look.inks, (look.at[0] + across, look.at[1] + down)).astype(np.float64)
        cover = drawn[..., 3:] / 255
        pixels = drawn[..., :3] * cover + pixels * (1 - cover)
    return Image.fromarray((pixels + 0.5).clip(0, 255).astype(np.uint8))


def _moved(background: Image.Image, shift: int) -> Image.Image:
    """Move the horizon down: what is above is stretched, what is below is pressed together."""
    moved = Image.new("RGB", background.size)
    above = background.crop((0, 0, SIZE, HORIZON)).resize((SIZE, HORIZON + shift), Image.Resampling.BILINEAR)
    below = background.crop((0, HORIZON, SIZE, SIZE)).resize((SIZE, SIZE - HORIZON - shift), Image.Resampling.BILINEAR)
    moved.paste(above, (0, 0))
    moved.paste(below, (0, HORIZON + shift))
    return moved


def _coloured(pixels: np.ndarray, look: Style, strength: float) -> np.ndarray:
    tone = (299 * pixels[..., 0] + 587 * pixels[..., 1] + 114 * pixels[..., 2]) / 1000  # (64, 64), 0..255
    dark, middle, bright = np.array(look.palette, np.float64)
    low, high = (tone / 127.5).clip(0, 1)[..., None], (tone / 127.5 - 1).clip(0, 1)[..., None]
    toned: np.ndarray = dark + (middle - dark) * low + (bright - middle) * high
    return toned * strength + pixels * (1 - strength)


def _lit(pixels: np.ndarray, look: Style, contrast: float) -> np.ndarray:
    side = np.arange(SIZE) / (SIZE - 1) * 2 - 1  # -1..1
    along = side[None, :] * look.light[0] + side[:, None] * look.light[1]  # (64, 64), largest where the light is
    corners = (side[None, :] ** 2 + side[:, None] ** 2) / 2  # 0 in the middle, 1 in the corners
    gain = (1 + contrast * look.contrast * along) * (1 - look.vignette * corners)
    return pixels * gain[..., None]
