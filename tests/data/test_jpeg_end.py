"""A JPEG without its end marker is whole; one that was cut off is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.decoding import decode
from p2i_ray.data.errors import ImageError

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8))


def jpeg(progressive: bool) -> bytes:
    out = io.BytesIO()
    NOISE.save(out, "JPEG", progressive=progressive)
    assert out.getvalue().endswith(b"\xff\xd9")
    return out.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2])
def test_only_the_end_marker_is_missing(progressive: bool, cut: int) -> None:
    whole = jpeg(progressive)
    assert np.array_equal(np.asarray(decode(whole[:-cut], ImageConfig())), np.asarray(decode(whole, ImageConfig())))


@pytest.mark.parametrize("progressive", [False, True])
def test_nothing_else_may_be_missing(progressive: bool) -> None:
    whole = jpeg(progressive)
    for cut in (*range(5, 40), *range(40, len(whole), 97)):
        with pytest.raises(ImageError, match=r"^unreadable: "):
            decode(whole[:-cut], ImageConfig())


def test_a_progressive_file_cut_between_two_scans() -> None:
    whole = jpeg(True)
    starts = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    tables = [whole.rfind(b"\xff\xc4", 0, start) for start in starts]  # a scan may have its table before it
    assert len(starts) > 3
    for place in {*starts[1:], *tables[1:]}:
        with pytest.raises(ImageError, match=r"^unreadable: "):
            decode(whole[:place], ImageConfig())
