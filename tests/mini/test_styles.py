"""Brand styles: the same bytes everywhere, beside the product only, each told from the others."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from p2i_ray.mini import styles, world
from p2i_ray.mini.motifs import MOTIFS
from p2i_ray.mini.styles import PARTS, SEEN, STYLES, UNSEEN, dress, render
from p2i_ray.mini.world import BALANCED, CLEAN, FlawMix, render_with_cover

# Of the world before it had styles.
WITHOUT_A_STYLE = "b75c5cbce4a3ef56d4f2532b5cc283e9"
DIGEST = (
    "import hashlib\nfrom p2i_ray.mini.styles import STYLES, render\n"
    "print(hashlib.md5(b''.join(render(3, i, s).image.tobytes() for s in STYLES for i in range(4))).hexdigest())"
)


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (level, level, level))


def test_pictures_without_a_style_are_what_they_were() -> None:
    """Data, models and figures were made of them."""
    here = [world.render(3, i, BALANCED) for i in range(40)]
    found = hashlib.md5(b"".join(s.image.tobytes() + s.mask.tobytes() + s.name.encode() for s in here)).hexdigest()
    assert found == WITHOUT_A_STYLE


@pytest.mark.heavy
def test_every_process_renders_the_same_bytes() -> None:
    here = hashlib.md5(b"".join(render(3, i, s).image.tobytes() for s in STYLES for i in range(4))).hexdigest()
    for hash_seed in ("0", "1"):
        command, environment = [sys.executable, "-c", DIGEST], {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."}
        there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert there.stdout.strip() == here


@pytest.mark.parametrize("style", STYLES)
def test_a_style_leaves_product_and_scene_as_they_are(style: str) -> None:
    for index in range(12):
        plain, dressed = world.render(8, index, CLEAN), render(8, index, style)
        product = plain.mask > 0
        assert (dressed.image[product] == plain.image[product]).all() and (dressed.mask == plain.mask).all()
        assert (dressed.name, dressed.category, dressed.scene) == (plain.name, plain.category, plain.scene)
        changed = (dressed.image != plain.image).any(-1)
        assert changed[~product].mean() > 0.9


def test_no_part_of_a_style_changes_nothing() -> None:
    assert (render(8, 0, "noir", parts=()).image == world.render(8, 0, CLEAN).image).all()


def test_flaws_lie_on_top_of_a_style() -> None:
    mix = FlawMix(text_overlay=1, clutter=1)
    for index in range(10):
        plain, cover = render_with_cover(9, index, mix)
        dressed = render(9, index, "candy", mix=mix)
        littered = cover[1] & (dressed.image == plain.image).all(-1)
        assert littered.sum() > 0.8 * cover[1].sum()  # some clutter is behind text, whose place and ink may differ


def test_the_palette_maps_black_grey_and_white_to_its_colours() -> None:
    """Within the variation of the strength: 0.9 to 1.1 times 0.6 of the way."""
    look = STYLES["adobe"]
    for level, target in zip((0, 255), (look.palette[0], look.palette[2]), strict=True):
        pixels = np.asarray(dress(grey(level), style="adobe", seed=(1, 2), parts=["palette"])).astype(float)
        way = np.array(target, float) - level
        share = (pixels[0, 0] - level) @ way / (way @ way)
        assert pixels[0, 0] == pytest.approx(level + share * way, abs=1) and 0.53 < share < 0.67


def test_light_falls_from_its_side() -> None:
    pixels = np.asarray(dress(grey(100), style="adobe", seed=(1, 2), parts=["light"])).astype(int)[..., 0]
    assert pixels[:, 0].mean() > 115 > 100 > 85 > pixels[:, -1].mean()  # (-1, -0.4): left, a little from above
    assert pixels[0].mean() > pixels[-1].mean()
    corners = np.asarray(dress(grey(100), style="noir", seed=(1, 2), parts=["light"])).astype(int)[..., 0]
    assert corners[[0, 0, -1, -1], [0, -1, 0, -1]].mean() < 60 < 95 < corners[32, 32]


def test_the_horizon_moves() -> None:
    scene = np.zeros((64, 64, 3), np.uint8)
    scene[styles.HORIZON :] = 200
    for style, look in STYLES.items():
        moved = np.asarray(dress(Image.fromarray(scene), style=style, seed=(1, 2), parts=["layout"]))[:, 0, 0]
        assert abs(int((moved < 100).sum()) - styles.HORIZON - look.horizon) <= 1
        assert set(np.unique(moved)) == {0, 200}


def test_motifs_lie_where_their_style_says() -> None:
    """Their ink is seen around the place; and most of the scene stays free."""
    assert {look.motif for look in STYLES.values()} == set(MOTIFS)
    for style, look in STYLES.items():
        pixels = np.asarray(dress(grey(128), style=style, seed=(1, 2), parts=["motif"])).astype(int)
        drawn = (pixels != 128).any(-1)
        assert 0.05 < drawn.mean() < 0.4, style
        assert all((pixels == ink).all(-1).any() for ink in look.inks), style


def test_pictures_of_one_style_differ_a_little() -> None:
    one, other = (np.asarray(dress(grey(128), style="dusk", seed=(1, i))) for i in range(2))
    assert (one != other).any()


def test_styles_differ_in_each_of_their_parts() -> None:
    assert set(SEEN) | set(UNSEEN) == set(STYLES) and not set(SEEN) & set(UNSEEN) and PARTS
    looks = list(STYLES.values())
    assert len({look.palette for look in looks}) == len({look.inks for look in looks}) == len(looks)
    assert len({(look.motif, look.at) for look in looks}) == len(looks)


def test_styles_are_further_apart_than_scenes() -> None:
    """Mean colours of backgrounds: of one style in all scenes, and of one scene in all styles."""
    means = np.empty((len(STYLES), 24, 3))
    for row, style in enumerate(STYLES):
        for index in range(24):
            sample = render(11, index, style)
            means[row, index] = sample.image[sample.mask == 0].mean(0)
    between_styles, between_scenes = means.mean(1).std(0).mean(), means.mean(0).std(0).mean()
    assert between_styles > 1.5 * between_scenes
