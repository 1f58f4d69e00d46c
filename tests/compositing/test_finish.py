from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from p2i_ray.compositing import light
from p2i_ray.compositing.finish import finish, finisher, weights_of
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.data.images import paste_product
from p2i_ray.evaluate.metrics.colour_difference import ciede2000, lab

SIDE = 96


def standing(bottom: int = 80) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[bottom - 40 : bottom, 30:66] = 255
    mask[bottom - 41, 30:66] = 128
    return mask


def pasted(mask: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a smooth scene with a product, and the product."""
    rng = np.random.default_rng(seed)
    scene = np.full((*mask.shape, 3), rng.integers(60, 220, 3), np.uint8)
    product = rng.integers(0, 256, scene.shape, np.uint8)
    return paste_product(scene, product, mask), product


@st.composite
def wild(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, a product and a mask of any size: random, a box, or extreme."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = np.zeros((height, width), np.uint8)
    if draw(st.booleans()):
        mask = rng.choice(
            np.array(draw(st.sampled_from([[0, 255], [0, 128, 255], [0, 1, 254, 255]])), np.uint8), mask.shape
        )
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    mask[top : top + draw(st.integers(0, height)), left : left + draw(st.integers(0, width))] = draw(
        st.sampled_from([0, 100, 200, 255])
    )
    product = rng.integers(0, 256, (height, width, 3), np.uint8)
    scene = rng.integers(0, 256, product.shape, np.uint8)
    if draw(st.booleans()):
        scene[:] = draw(st.sampled_from([0, 90, 255]))
    return paste_product(scene, product, mask), product, mask


settings = st.builds(
    CompositingConfig,
    shadow=st.sampled_from([0, 0.01, 0.6, 1]),
    light=st.sampled_from(["off", "rim", "whole"]),
    light_strength=st.sampled_from([0, 0.3, 1]),
    max_colour_difference=st.sampled_from([0.5, 3, 20]),
    rim_width=st.sampled_from([0.01, 0.08, 0.5]),
)


@given(wild(), settings)
def test_whatever_is_given(given_: tuple[np.ndarray, np.ndarray, np.ndarray], settings: CompositingConfig) -> None:
    picture, product, mask = given_
    kept = picture.copy()
    with np.errstate(all="raise", under="ignore"):
        pixels, done = finish(picture, product, mask, settings)
    np.testing.assert_array_equal(picture, kept)  # what was given is left alone
    assert pixels.shape == picture.shape and pixels.dtype == np.uint8
    if settings.light == "off":
        np.testing.assert_array_equal(pixels[mask == 255], picture[mask == 255])
    if settings.shadow == 0:
        np.testing.assert_array_equal(pixels[mask == 0], picture[mask == 0])
    assert (pixels[mask == 0].astype(int) <= picture[mask == 0]).all()  # a shadow only darkens
    assert 0 <= done.shadow <= settings.shadow and -1 <= done.light_side <= 1
    assert done.colour_difference <= settings.max_colour_difference
    assert np.isfinite([done.shadow, done.colour_difference, *(done.gains or ())]).all()
    json.dumps(done.as_fields(), allow_nan=False)


@examples(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["rim", "whole"]), st.sampled_from([0.5, 3, 6]))
def test_light_is_bounded_and_can_be_undone(seed: int, mode: str, most: float) -> None:
    mask = standing()
    picture, product = pasted(mask, seed)
    chosen = CompositingConfig(shadow=0.6, light=mode, light_strength=1, max_colour_difference=most)
    dark = finish(picture, product, mask, CompositingConfig(shadow=0.6)).pixels
    pixels, done = finish(picture, product, mask, chosen)
    weights = weights_of(mask, chosen)
    assert done.gains is not None and done.light == mode
    apart = ciede2000(lab(picture[weights > 0]), lab(pixels[weights > 0])).mean()
    assert apart <= most and 0 < done.colour_difference <= most
    back = light.undo(pixels, weights, done.gains)
    assert np.abs(back.astype(int) - dark).max() <= 1
    np.testing.assert_array_equal(back[mask == 0], dark[mask == 0])


def test_the_default_changes_nothing() -> None:
    mask = standing()
    picture, product = pasted(mask)
    found = finish(picture, product, mask, CompositingConfig())
    assert found.pixels is picture and found.done.as_fields() == {}
    assert finisher(CompositingConfig()) is None and finisher(CompositingConfig(light="rim", light_strength=0)) is None


def test_a_shadow_lies_under_the_product() -> None:
    mask = standing()
    picture, product = pasted(mask)
    pixels, done = finish(picture, product, mask, CompositingConfig(shadow=0.6))
    darker = picture[..., 1].astype(int) - pixels[..., 1]
    assert done.shadow == 0.6 and done.no_shadow is None
    assert darker[80, 48] > 20 and darker[20, 48] == 0 and darker[80, 48] == darker.max()
    assert done.as_fields() == {"shadow": 0.6}


@pytest.mark.parametrize(("bottom", "why"), [(96, "lower border"), (46, "upper half")])
def test_why_there_is_no_shadow_is_said(bottom: int, why: str) -> None:
    mask = standing(bottom)
    picture, product = pasted(mask)
    pixels, done = finish(picture, product, mask, CompositingConfig(shadow=1))
    assert pixels is picture
    assert why in done.as_fields()["no_shadow"] and done.as_fields()["shadow"] == 0


def test_light_that_has_no_scene_to_go_by_is_said() -> None:
    mask = np.full((8, 8), 255, np.uint8)
    picture, product = pasted(mask)
    pixels, done = finish(picture, product, mask, CompositingConfig(light="whole"))
    assert pixels is picture and done.as_fields() == {"no_light": "there is no scene beside the product"}


def test_gains_as_they_are_handed_out_undo_it() -> None:
    mask = standing()
    picture, product = pasted(mask)
    chosen = CompositingConfig(light="whole", light_strength=1, max_colour_difference=6)
    pixels, done = finish(picture, product, mask, chosen)
    told = json.loads(json.dumps(done.as_fields()))["gains"]
    back = light.undo(pixels, weights_of(mask, chosen), light.Gains(*told))
    assert np.abs(back.astype(int) - picture).max() <= 1 and (pixels != picture).any()


def test_the_rim_leaves_the_middle_alone() -> None:
    mask = standing()
    picture, product = pasted(mask)
    pixels, _ = finish(picture, product, mask, CompositingConfig(light="rim", light_strength=1))
    changed = (pixels != picture).any(axis=-1)
    assert changed[60, 30] and not changed[50:70, 40:56].any()


def test_sizes_must_agree() -> None:
    mask = standing()
    picture, product = pasted(mask)
    for wrong in ((picture[1:], product, mask), (picture, product[1:], mask), (picture, product, mask[1:])):
        with pytest.raises(ValueError, match="differ in size"):
            finish(*wrong, settings=CompositingConfig(shadow=1))


def test_it_is_handed_to_workers() -> None:
    mask = standing()
    picture, product = pasted(mask)
    work = finisher(CompositingConfig(shadow=0.6))
    again = pickle.loads(pickle.dumps(work))
    assert (again(picture, product, mask).pixels == work(picture, product, mask).pixels).all()  # type: ignore[misc]
