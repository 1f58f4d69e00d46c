"""Profiles from primaries, white and a curve, read by LittleCMS, against values worked out without it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from p2i_ray.data.matrix_profile import Curve, Primaries, matrix_profile

D65 = (0.3127, 0.3290)
SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
P3: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
GREY_OF_E: Primaries = ((0.7, 0.3), (0.2, 0.7), (0.1, 0.1), (1 / 3, 1 / 3))
LEVELS = np.array([(185, 71, 50), (20, 200, 90), (10, 10, 10), (255, 255, 255), (128, 128, 128)], np.uint8)
# From linear Display P3 to linear sRGB, both with white D65, as published.
P3_TO_SRGB = np.array(((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)))


def seen(primaries: Primaries, curve: Curve) -> np.ndarray:
    made = matrix_profile(primaries, curve)
    assert made
    source = ImageCms.ImageCmsProfile(io.BytesIO(made))
    image = ImageCms.profileToProfile(Image.fromarray(LEVELS[None]), source, ImageCms.createProfile("sRGB"))
    assert image
    return np.asarray(image, int)[0]


def coded(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def linear(levels: np.ndarray) -> np.ndarray:
    values = levels / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def test_srgbs_own_numbers_change_nothing() -> None:
    assert np.abs(seen(SRGB, "srgb") - LEVELS).max() <= 1


def test_display_p3_with_srgbs_curve() -> None:
    by_hand = coded(linear(LEVELS) @ P3_TO_SRGB.T)
    assert np.abs(seen(P3, "srgb") - by_hand).max() <= 1
    assert by_hand[0, 0] > LEVELS[0, 0] + 8  # what a dropped profile would lose


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_a_gamma(gamma: float) -> None:
    assert np.abs(seen(SRGB, gamma) - coded((LEVELS / 255) ** gamma)).max() <= 1


def test_another_white_is_adapted() -> None:
    found = seen(GREY_OF_E, "srgb")
    assert np.abs(found[2:] - LEVELS[2:]).max() <= 1  # greys stay grey


def test_primaries_that_span_no_colours() -> None:
    assert matrix_profile(((0.3, 0.3), (0.3, 0.3), (0.1, 0.1), D65), "srgb") is None
    assert matrix_profile(((0.3, 0.0), (0.3, 0.6), (0.1, 0.1), D65), "srgb") is None
