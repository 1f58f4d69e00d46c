"""A JPEG without its end marker is whole; one that was cut off is not, with or without the marker."""

from __future__ import annotations

import io
from typing import Any

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


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("at_least", [None, 64])
def test_an_end_marker_after_half_a_picture(mode: str, progressive: bool, at_least: int | None) -> None:
    out = io.BytesIO()
    NOISE.resize((300, 400), Image.Resampling.BICUBIC).convert(mode).save(out, "JPEG", progressive=progressive)
    whole = out.getvalue()
    scan = whole.index(b"\xff\xda")
    end = whole.index(b"\xff\xda", scan + 2) if progressive else len(whole)  # of the scan that has each block's mean
    for share in (0.2, 0.5, 0.9):
        cut = whole[: scan + int((end - scan) * share)] + b"\xff\xd9"
        with Image.open(io.BytesIO(cut)) as read:
            read.load()  # without a word
        with pytest.raises(ImageError, match=r"^unreadable: the end of its picture is missing, and would be grey; "):
            decode(cut, ImageConfig(), at_least)
    decode(whole, ImageConfig(), at_least)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (50, 37), (64, 64)])
def test_a_grey_photo_is_whole(options: dict[str, Any], mode: str, size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, (128, 128, 128))
    photo.paste((200, 30, 30), (0, 0, size[0] // 2, size[1] // 2))
    out = io.BytesIO()
    photo.convert(mode).save(out, "JPEG", **options)
    assert decode(out.getvalue(), ImageConfig()).size == size
