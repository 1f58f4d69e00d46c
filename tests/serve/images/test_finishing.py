"""From painted canvases to files."""

from __future__ import annotations

import numpy as np
import pytest

from p2i_ray.config.shapes import Size
from p2i_ray.provenance.marker import encode
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.images.finishing import HEADER, LOWER, cut_to, file_within
from p2i_ray.serve.images.framing import Frame
from p2i_ray.serve.images.marketplaces import MARKETPLACES
from p2i_ray.serve.images.placement import Box

NOISE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


def test_a_frame_is_cut_out_as_it_is() -> None:
    part = cut_to(NOISE, Frame(Box(8, 16, 64, 48), Size(64, 48)))
    np.testing.assert_array_equal(part, NOISE[16:64, 8:72])
    assert part.flags.c_contiguous


@pytest.mark.parametrize("size", [(256, 192), (64, 48), (321, 240)])
def test_a_frame_is_scaled(size: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 128).round().astype(np.uint8)[None, :, None], (96, 128, 3)).copy()
    scaled = cut_to(ramp, Frame(Box(0, 0, 128, 96), Size(*size)))
    assert scaled.shape == (size[1], size[0], 3)
    expected = np.interp((np.arange(size[0]) + 0.5) / size[0] * 128 - 0.5, np.arange(128), ramp[0, :, 0])
    assert np.abs(scaled[10, 8:-8, 0] - expected[8:-8]).max() <= 2


def test_a_files_quality_is_lowered_until_it_fits() -> None:
    def file(quality: int | None) -> bytes:
        return encode(NOISE, "jpeg", quality=quality)

    sizes = {quality: len(file(quality)) for quality in (None, *LOWER)}
    assert file_within(file, None, None) == (file(None), None)
    assert file_within(file, None, sizes[None]) == (file(None), None)
    assert file_within(file, None, sizes[None] - 1) == (file(90), 90)
    assert file_within(file, None, sizes[70]) == (file(70), 70)
    assert file_within(file, 100, 10) == (file(100), None)  # the client's own is kept
    with pytest.raises(APIError, match="in quality 40, more than the 1e-05 of the marketplace; give a smaller output"):
        file_within(file, None, 10)


@pytest.mark.parametrize("name", MARKETPLACES)
def test_every_places_default_file_fits(name: str) -> None:
    """Of noise, which takes more bytes than any photo."""
    place, noise = MARKETPLACES[name], np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    a_pixel = len(encode(noise, place.formats[0], quality=LOWER[-1])) / 512**2
    assert place.formats[0] == "jpeg"
    assert place.size.width * place.size.height * a_pixel + HEADER <= place.max_bytes
    assert place.share + 2 * place.margin <= 1 and 1 / 3 <= place.size.aspect <= 3
