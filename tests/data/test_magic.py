"""A WebP's size by its header, against Pillow's reading."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from p2i_ray.data.magic import webp_size


@pytest.mark.parametrize(("mode", "lossless"), [("RGB", False), ("RGB", True), ("RGBA", False), ("RGBA", True)])
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0MM\0*\0\0\0\x08\0\0"])
def test_all_three_kinds_of_webp(mode: str, lossless: bool, exif: bytes) -> None:
    out = io.BytesIO()
    Image.new(mode, (301, 77)).save(out, "WEBP", lossless=lossless, exif=exif)
    assert webp_size(out.getvalue()) == (301, 77)


@pytest.mark.parametrize(
    "encoded", [b"", b"RIFF", b"RIFF1234WEBPVP8 ", b"\x89PNG" + bytes(40), b"RIFF1234WEBPxxxx" + bytes(20)]
)
def test_other_files(encoded: bytes) -> None:
    assert webp_size(encoded) is None
