"""The toy world: seeded product pictures with planted flaws, so that a judge can be checked against the truth.

`render(seed, index)` gives the same bytes in every process. A picture is a scene, the flaws on it, and the product on
top, whose pixels no flaw touches. `quality` is the score of a strict judge (see `PENALTIES`); "good" is quality >= 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from p2i_ray.mini.names import NOUNS, RGB, listing_name
from p2i_ray.mini.pen import SIZE, ZOOM
from p2i_ray.mini.products import draw_product
from p2i_ray.mini.scenes import SCENE_RENDERERS, draw_scene

CATEGORIES: tuple[str, ...] = tuple(NOUNS)
SCENES: tuple[str, ...] = tuple(SCENE_RENDERERS)
PLAIN = "plain"  # `Sample.scene` of a picture with a plain background
RIGHT_SCENE: dict[str, str] = {
    "sunscreen": "beach",
    "dish soap": "kitchen",
    "shampoo": "bathroom",
    "school bag": "classroom",
    "trekking backpack": "forest",
    "running shoe": "stadium",
    "snow boot": "snow",
    "tent": "forest",
    "fridge": "kitchen",
    "sofa": "living room",
    "floor lamp": "living room",
    "surfboard": "beach",
}
FLAWS: tuple[str, ...] = ("wrong scene", "plain background", "text overlay", "clutter", "blur")
PENALTIES: dict[str, tuple[int, int]] = {  # points off at level 1 and 2; the first two flaws have one level
    "wrong scene": (3, 3),
    "plain background": (3, 3),
    "text overlay": (2, 3),
    "clutter": (2, 3),
    "blur": (1, 2),
}
SLOGANS = ("SALE", "-50%", "ONLY 9.9", "TOP 1", "BUY 2", "HOT", "NEW", "FREE", "BEST", "OFFER", "2 FOR 1", "WOW")
INKS: tuple[RGB, ...] = ((214, 24, 34), (20, 22, 130), (16, 16, 20), (255, 232, 40), (255, 255, 255), (0, 120, 60))
TAGS: tuple[RGB, ...] = ((255, 236, 60), (226, 32, 40), (255, 255, 255), (24, 40, 160))
CLUTTER_COLOURS: tuple[RGB, ...] = (
    (240, 60, 160),
    (255, 140, 0),
    (60, 220, 60),
    (0, 210, 230),
    (150, 60, 220),
    (240, 220, 30),
    (220, 40, 40),
)
BLUR_SIGMA = (2.2, 3.6)  # px; far stronger than what an autoencoder does to a picture
Dress = Callable[[Image.Image], Image.Image]  # puts a brand's style on a background (styles.py), RGB 64x64


@dataclass(frozen=True)
class FlawMix:
    """The probability of each flaw, independently; but a plain background has neither a wrong scene nor a blur."""

    wrong_scene: float = 0.0
    plain_background: float = 0.0
    text_overlay: float = 0.0
    clutter: float = 0.0
    blur: float = 0.0
    unseen: bool = False  # names and colours that no other mix shows


CLEAN = FlawMix()
CLEAN_UNSEEN = FlawMix(unseen=True)
NATURAL = FlawMix(wrong_scene=0.22, plain_background=0.10, text_overlay=0.16, clutter=0.14, blur=0.14)
BALANCED = FlawMix(wrong_scene=0.46, plain_background=0.16, text_overlay=0.4, clutter=0.4, blur=0.46)


@dataclass(frozen=True)
class Sample:
    """One picture and the truth about it."""

    id: str
    name: str  # as a retailer lists it
    category: str
    scene: str  # one of SCENES, or PLAIN
    flaws: dict[str, int]  # flaw -> level 1..2, in the order of FLAWS
    quality: int  # 1..5
    image: np.ndarray  # uint8 (64, 64, 3)
    mask: np.ndarray  # uint8 (64, 64), 255 = product


def quality(flaws: Mapping[str, int]) -> int:
    """The score: 5 less the penalties, at least 1."""
    return max(1, 5 - sum(PENALTIES[flaw][level - 1] for flaw, level in flaws.items()))


def render(seed: int, index: int, mix: FlawMix = NATURAL, *, dress: Dress | None = None) -> Sample:
    """Render picture number `index` of the world `seed`: the same bytes in every process and on every machine."""
    return render_with_cover(seed, index, mix, dress=dress)[0]


def render_with_cover(
    seed: int, index: int, mix: FlawMix = NATURAL, *, dress: Dress | None = None
) -> tuple[Sample, np.ndarray]:
    """The sample of `render`, and where text and clutter are visible: bool (2, 64, 64), text first."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]
    name, colour = listing_name(rng, category, mix.unseen)
    flaws = _draw_flaws(rng, mix)
    scene = _scene(rng, category, flaws)
    background = draw_scene(scene, rng) if scene != PLAIN else _plain(rng)
    if dress is not None:
        background = dress(background)
    if "blur" in flaws:
        background = background.filter(ImageFilter.GaussianBlur(BLUR_SIGMA[flaws["blur"] - 1]))
    product, mask = draw_product(category, colour, rng)
    bare = np.asarray(background)
    if "clutter" in flaws:
        _scatter(background, mask, rng, 4 if flaws["clutter"] == 1 else 9)
    littered = np.asarray(background)
    if "text overlay" in flaws:
        _write(background, mask, rng, flaws["text overlay"])
    finished = np.asarray(background)
    text = (finished != littered).any(-1) & (mask == 0)  # (64, 64)
    clutter = (littered != bare).any(-1) & (mask == 0) & ~text
    image = np.where(mask[..., None] > 0, product, finished)  # (64, 64, 3)
    sample = Sample(
        id=f"{seed}-{index:06d}",
        name=name,
        category=category,
        scene=scene,
        flaws=flaws,
        quality=quality(flaws),
        image=image,
        mask=mask,
    )
    return sample, np.stack([text, clutter])


def _draw_flaws(rng: np.random.Generator, mix: FlawMix) -> dict[str, int]:
    chances = (mix.wrong_scene, mix.plain_background, mix.text_overlay, mix.clutter, mix.blur)
    hit, level = rng.random(5), rng.integers(1, 3, 5)
    drawn = {flaw: int(level[i]) for i, flaw in enumerate(FLAWS) if hit[i] < chances[i]}
    one_level = {flaw: 1 if flaw in FLAWS[:2] else at for flaw, at in drawn.items()}
    hidden = ("wrong scene", "blur") if "plain background" in drawn else ()
    return {flaw: at for flaw, at in one_level.items() if flaw not in hidden}


def _scene(rng: np.random.Generator, category: str, flaws: Mapping[str, int]) -> str:
    right = RIGHT_SCENE[category]
    others = [scene for scene in SCENES if scene != right]
    other = others[int(rng.integers(len(others)))]
    if "plain background" in flaws:
        return PLAIN
    return other if "wrong scene" in flaws else right


def _plain(rng: np.random.Generator) -> Image.Image:
    tone = tuple(int(v) for v in 255 - rng.integers(0, 14, 3))
    return Image.new("RGB", (SIZE, SIZE), tone)


def _scatter(picture: Image.Image, mask: np.ndarray, rng: np.random.Generator, count: int) -> None:
    """Draw outlined shapes of 6 to 10 px, clear of the product and mostly of each other."""
    draw = ImageDraw.Draw(picture)
    taken = mask > 0
    for _ in range(count):
        size = int(rng.integers(6, 11))
        corners = rng.integers(0, SIZE - size, (12, 2))  # candidates (x, y); the first that covers least is taken
        shape, tone, turn = rng.integers(4), rng.integers(len(CLUTTER_COLOURS)), int(rng.integers(0, 90))
        x, y = min(corners.tolist(), key=lambda at: int(taken[at[1] : at[1] + size, at[0] : at[0] + size].sum()))
        taken[y : y + size, x : x + size] = True
        colour, box, centre = (
            CLUTTER_COLOURS[tone],
            (x, y, x + size - 1, y + size - 1),
            (x + size / 2 - 0.5, y + size / 2 - 0.5),
        )
        if shape == 0:
            draw.ellipse(box, fill=colour, outline=(24, 20, 30))
        elif shape == 1:
            draw.rectangle(box, fill=colour, outline=(24, 20, 30))
        else:
            draw.regular_polygon((*centre, size / 2), 3 if shape == 2 else 5, turn, fill=colour, outline=(24, 20, 30))


@cache
def _lettering(slogan: str, height: int) -> np.ndarray:
    """The slogan's coverage, 0..255, uint8 (height, width)."""
    font = ImageFont.load_default(size=height * ZOOM * 1.3)
    left, top, right, bottom = font.getbbox(slogan, stroke_width=1)
    canvas = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), slogan, font=font, fill=255, stroke_width=1)
    return np.asarray(
        canvas.resize((min(60, round(canvas.width * height / canvas.height)), height), Image.Resampling.BOX)
    )


def _write(picture: Image.Image, mask: np.ndarray, rng: np.random.Generator, level: int) -> None:
    """Write one slogan, or three: each where it hides least of the product, some on a coloured tag."""
    free = mask == 0
    for _ in range(1 if level == 1 else 3):
        slogan, height = SLOGANS[int(rng.integers(len(SLOGANS)))], int(rng.integers(8, 12))
        letters = _lettering(slogan, height)
        corners = rng.random((8, 2)) * (SIZE - 3 - letters.shape[1], SIZE - 3 - height) + 1.5
        x, y = max(
            corners.astype(int).tolist(),
            key=lambda at: int(free[at[1] : at[1] + height, at[0] : at[0] + letters.shape[1]].sum()),
        )
        box = (x - 1, y - 1, x + letters.shape[1] + 1, y + height + 1)
        free[max(0, box[1]) : box[3], x : box[2]] = False
        if rng.random() < 0.4:
            picture.paste(TAGS[int(rng.integers(len(TAGS)))], box)
        picture.paste(_readable_ink(picture.crop(box), rng), (x, y), Image.fromarray(letters))


def _readable_ink(behind: Image.Image, rng: np.random.Generator) -> RGB:
    """The first ink, from a random one on, with enough contrast to what is behind the letters."""
    mean = np.asarray(behind).reshape(-1, 3).mean(0)
    start = int(rng.integers(len(INKS)))
    inks = INKS[start:] + INKS[:start]
    contrast = [float(np.abs(mean - ink).mean()) for ink in inks]
    return next((ink for ink, c in zip(inks, contrast, strict=True) if c > 90), inks[int(np.argmax(contrast))])
