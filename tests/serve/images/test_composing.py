"""Cutouts on canvases: what lies where, what keeps its colour, and what comes along."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from p2i_ray.config.shapes import Size
from p2i_ray.serve.images.composing import composed, product_box
from p2i_ray.serve.images.placement import Box
from tests.support.generator_parts import cutout

RED = (200, 40, 30)


def rectangle(width: int, height: int, box: Box) -> Image.Image:
    """A cutout whose product is one rectangle."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[box.top : box.bottom, box.left : box.right] = (*RED, 255)
    return Image.fromarray(pixels)


def found(canvas: np.ndarray) -> Box:
    return product_box(Image.fromarray(np.ascontiguousarray(canvas)))


def test_the_products_box() -> None:
    assert product_box(Image.open(io.BytesIO(cutout(100, 50)))) == Box(25, 12, 50, 26)
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[2:5, 3:9, 3], pixels[0, 0, 3] = 128, 127
    assert product_box(Image.fromarray(pixels)) == Box(3, 2, 6, 3)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    left=st.integers(0, 200),
    top=st.integers(0, 200),
    share=st.floats(0.1, 1),
    target=st.builds(Box, st.integers(0, 90), st.integers(0, 60), st.integers(3, 60), st.integers(3, 60)),
    mixed=st.booleans(),
)
def test_the_product_fills_its_box(
    width: int, height: int, left: int, top: int, share: float, target: Box, mixed: bool
) -> None:
    left, top = min(left, width - 4), min(top, height - 4)
    source = Box(left, top, max(3, int(share * (width - left))), max(3, int(share * (height - top))))
    canvas = composed(rectangle(width, height, source), source, target, canvas=Size(150, 120), mixed=mixed)
    assert canvas.shape == (120, 150, 4)
    box = found(canvas)
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(box, side) - getattr(target, side)) <= 1, side
    inside = canvas[target.top + 1 : target.bottom - 1, target.left + 1 : target.right - 1]
    assert (inside[..., 3] >= 128).all()
    if not mixed:  # else black, which is around it, counts at its edge
        shown = canvas[..., 3] > 0
        assert (np.abs(canvas[shown][:, :3].astype(int) - RED) <= 1).all()


def test_at_its_own_size_not_a_pixel_changes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    noise[..., 3] = 255
    picture = np.zeros((100, 90, 4), np.uint8)
    picture[30:70, 20:80] = noise
    canvas = composed(
        Image.fromarray(picture), Box(20, 30, 60, 40), Box(5, 50, 60, 40), canvas=Size(128, 96), mixed=False
    )
    np.testing.assert_array_equal(canvas[50:90, 5:65], noise)
    assert (canvas[:50] == 0).all() and (canvas[:, 65:] == 0).all()


def test_a_shadow_comes_along_as_far_as_the_canvas_reaches() -> None:
    picture = np.zeros((100, 100, 4), np.uint8)
    picture[40:60, 40:60] = (*RED, 255)
    picture[60:70, 30:80] = (0, 0, 0, 100)  # wider than the product, and below it
    source = product_box(Image.fromarray(picture))
    assert source == Box(40, 40, 20, 20)
    canvas = composed(Image.fromarray(picture), source, Box(10, 60, 40, 40), canvas=Size(64, 112), mixed=False)
    assert (canvas[62:98, 12:48, 3] == 255).all()
    assert (canvas[102:, :, 3] == 100).all()  # 20 pixels to the left would be 10 beyond the canvas
    assert (canvas[106:, :, :3] == 0).all() and (canvas[:58] == 0).all()


def test_a_faint_shadows_rim_is_its_own_colour() -> None:
    picture = np.zeros((60, 60, 4), np.uint8)
    picture[20:30, 20:40] = (*RED, 255)
    picture[30:40, 20:40] = (0, 0, 0, 60)
    canvas = composed(
        Image.fromarray(picture), Box(20, 20, 20, 10), Box(30, 30, 50, 25), canvas=Size(128, 128), mixed=False
    )
    rim = canvas[65:90][(canvas[65:90, :, 3] > 0) & (canvas[65:90, :, 3] < 60)]
    assert len(rim) > 20 and (rim[:, :3] == 0).all()


def test_texture_is_resized_as_sharply_as_by_lanczos_inside_of_the_product() -> None:
    noise = np.random.default_rng(0).integers(90, 160, (90, 90, 3), np.uint8)  # Pillow cuts off what is beyond 0 to 255
    picture = np.dstack([noise, np.full((90, 90), 255, np.uint8)])
    for side in (45, 135):
        canvas = composed(
            Image.fromarray(picture), Box(0, 0, 90, 90), Box(5, 5, side, side), canvas=Size(150, 150), mixed=False
        )
        expected = np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.LANCZOS)).astype(int)
        found = canvas[5 : 5 + side, 5 : 5 + side]
        assert np.abs(found[..., :3] - expected).max() <= 1 and (found[..., 3] == 255).all()


def test_a_much_larger_picture_is_averaged() -> None:
    picture = rectangle(2400, 1800, Box(600, 600, 1200, 600))
    canvas = composed(picture, Box(600, 600, 1200, 600), Box(10, 20, 60, 30), canvas=Size(96, 64), mixed=False)
    assert found(canvas) == Box(10, 20, 60, 30)
    assert (np.abs(canvas[canvas[..., 3] >= 128][:, :3].astype(int) - RED) <= 1).all()  # fainter: rounded more


def test_a_product_at_the_pictures_border_keeps_a_hard_edge() -> None:
    source = Box(0, 0, 30, 50)
    canvas = composed(rectangle(60, 50, source), source, Box(20, 20, 45, 75), canvas=Size(128, 128), mixed=False)
    assert found(canvas) == Box(20, 20, 45, 75) and (canvas[20:95, 20, 3] == 255).all()


def test_no_old_background_stays_in_the_edges_of_a_photo_that_is_made_much_smaller() -> None:
    """Its clear pixels' colours are needed for that: they are the background that its soft edges are mixed with."""
    alpha = np.zeros((960, 960), np.float32)
    alpha[240:720, 240:720] = 255
    ramp = np.linspace(0, 255, 50).round()
    alpha[240:720, 190:240] = ramp
    green = np.array((0, 200, 0))
    share = alpha[..., None] / 255
    pixels = np.dstack([np.array(RED) * share + green * (1 - share), alpha]).round().astype(np.uint8)
    canvas = composed(
        Image.fromarray(pixels), Box(0, 0, 960, 960), Box(16, 16, 96, 96), canvas=Size(128, 128), mixed=True
    )
    soft = canvas[(canvas[..., 3] > 30) & (canvas[..., 3] < 225)]
    assert len(soft) > 100 and (np.abs(soft[:, :3].astype(int) - RED) <= 6).all()
