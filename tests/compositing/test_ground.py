from __future__ import annotations

import cv2
import numpy as np

from p2i_ray.compositing.ground import contact, horizon, missing_ground

SIDE = 200


def drawn(draw: str, *shape: object) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if draw == "polygon":
        cv2.fillPoly(mask, [np.array(shape, np.int32)], 255)
    elif draw == "disc":
        cv2.circle(mask, (100, 120), 50, 255, -1)
    else:
        for left, top, right, bottom in shape:  # type: ignore[misc]
            mask[top:bottom, left:right] = 255
    return mask


def scene(line: int | None = None, above: int = 230, below: int = 90) -> np.ndarray:
    """One colour, or two that meet at a row."""
    picture = np.full((SIDE, SIDE, 3), below, np.uint8)
    picture[: line or 0] = above
    return picture


def ground_of(mask: np.ndarray, picture: np.ndarray) -> str | None:
    found = contact(mask)
    assert found is not None
    return missing_ground(picture, mask, found)


def test_a_box_from_the_front_touches_with_its_whole_base() -> None:
    found = contact(drawn("boxes", (60, 80, 140, 160)))
    assert found is not None
    assert found.columns.tolist() == list(range(60, 140)) and set(found.rows) == {159} and (found.weights == 1).all()


def test_a_box_at_a_corner_touches_with_both_lower_edges() -> None:
    corner = drawn("polygon", (40, 60), (160, 60), (160, 140), (100, 165), (40, 140))
    found = contact(corner)
    assert found is not None
    assert (found.columns.min(), found.columns.max()) == (40, 160)
    lowest = int(found.columns[found.rows.argmax()])
    assert abs(lowest - 100) <= 2 and found.weights.max() == 1 and found.weights[0] < found.weights[30] < 1


def test_a_ball_touches_with_its_lowest_part() -> None:
    found = contact(drawn("disc"))
    assert found is not None
    half = (found.columns.max() - found.columns.min()) / 2  # the chord that rises by 35 degrees reaches to 0.57 or more
    assert 25 < half < 50 and found.weights.min() < 0.6


def test_legs_touch_and_the_seat_does_not() -> None:
    chair = drawn("boxes", (50, 60, 150, 110), (50, 110, 58, 170), (142, 110, 150, 170), (70, 110, 76, 162))
    found = contact(chair)
    assert found is not None
    assert set(found.columns) == {*range(50, 58), *range(142, 150), *range(70, 76)}


def test_specks_are_not_stood_on() -> None:
    found = contact(drawn("boxes", (60, 80, 140, 160), (10, 190, 14, 194)))
    assert found is not None
    assert found.rows.max() == 159


def test_without_a_product_there_is_no_contact() -> None:
    assert contact(np.zeros((SIDE, SIDE), np.uint8)) is None


def test_no_ground_at_the_border_and_in_the_upper_half() -> None:
    plain = scene()
    assert ground_of(drawn("boxes", (60, 80, 140, 200)), plain) == "the product ends at the picture's lower border"
    assert ground_of(drawn("boxes", (60, 80, 140, 199)), plain) == "the product ends at the picture's lower border"
    assert ground_of(drawn("boxes", (60, 20, 140, 90)), plain) == "the product ends in the picture's upper half"
    assert ground_of(drawn("boxes", (60, 80, 140, 160)), plain) is None


def test_a_product_before_the_sky_stands_on_nothing() -> None:
    mask = drawn("boxes", (80, 60, 120, 120))
    assert ground_of(mask, scene(160)) == "the product ends above the scene's horizon"
    assert ground_of(mask, scene(110)) is None


def test_a_horizon_is_one_sharp_line_between_two_colours() -> None:
    mask = drawn("boxes", (80, 60, 120, 120))
    found = horizon(scene(150), mask)
    assert found is not None and abs(found - 150) <= 3
    assert horizon(scene(), mask) is None
    assert horizon(scene(150, above=100), mask) is None  # hardly apart
    ramp = np.broadcast_to(np.linspace(30, 230, SIDE)[:, None, None], (SIDE, SIDE, 3)).astype(np.uint8)
    assert horizon(ramp, mask) is None  # a studio's sweep
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert horizon(noise, mask) is None


def test_the_products_own_colours_make_no_horizon() -> None:
    picture, mask = scene(), drawn("boxes", (0, 0, 150, 120))
    picture[mask > 0] = 255
    assert horizon(picture, mask) is None
