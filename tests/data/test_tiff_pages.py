"""TIFF files whose first page is a preview."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import check_size, decode
from p2i_ray.data.errors import ImageError
from p2i_ray.data.tiff_pages import HIDDEN_PAGES, KIND, PREVIEW

LIMITS = ImageConfig()


def tiff(*pages: tuple[tuple[int, int], str, int]) -> bytes:
    """Pages of these sizes, colours and kinds."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as writer:
        for size, colour, kind in pages:
            Image.new("RGB", size, colour).save(writer, "TIFF", tiffinfo={KIND: kind})
            writer.newFrame()
    return file.getvalue()


@pytest.mark.parametrize("previews", [0, 1, 2])
def test_the_first_page_that_is_no_preview_is_the_picture(previews: int) -> None:
    small = [((8 * (n + 1), 8), "red", PREVIEW) for n in range(previews)]
    encoded = tiff(*small, ((64, 48), "lime", 0), ((32, 32), "blue", 2))
    assert check_size(encoded, LIMITS) == (64, 48)
    assert (np.asarray(decode(encoded, LIMITS))[..., :3] == (0, 255, 0)).all()


def test_a_raw_files_preview_is_no_picture() -> None:
    file = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[KIND], tags[HIDDEN_PAGES] = PREVIEW, 8
    Image.new("RGB", (8, 8), "red").save(file, "TIFF", tiffinfo=tags)
    for encoded in (file.getvalue(), tiff(((8, 8), "red", PREVIEW), ((6, 6), "red", PREVIEW))):
        with pytest.raises(ImageError, match="a small preview is all that can be read of it"):
            decode(encoded, LIMITS)


def test_the_only_page_is_the_picture_whatever_it_is_called() -> None:
    encoded = tiff(((64, 48), "lime", PREVIEW))
    assert check_size(encoded, LIMITS) == (64, 48)
    assert (np.asarray(decode(encoded, LIMITS))[..., :3] == (0, 255, 0)).all()


def test_the_limits_are_those_of_the_picture() -> None:
    with pytest.raises(ImageError, match="too large: 64x48 pixels"):
        decode(tiff(((8, 8), "red", PREVIEW), ((64, 48), "lime", 0)), ImageConfig(max_pixels=1000))
