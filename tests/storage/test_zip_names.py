"""Names in zips, as the Mac's Finder and other programs write them."""

from __future__ import annotations

import pytest

from p2i_ray.storage.zip_names import UTF8, decoded


@pytest.mark.parametrize(
    ("stored", "flag", "name"),
    [
        (b"K\xc3\xbcche/1.jpg", 0, "Küche/1.jpg"),  # UTF-8 without the flag
        (b"K\xc3\xbcche/1.jpg", UTF8, "Küche/1.jpg"),
        (b"K\x81che/1.jpg", 0, "Küche/1.jpg"),  # code page 437, which is no UTF-8
        (b"mugs/1.jpg", 0, "mugs/1.jpg"),
    ],
)
def test_a_name_is_what_its_writer_meant(stored: bytes, flag: int, name: str) -> None:
    assert decoded(stored.decode("utf-8" if flag else "cp437"), flag) == name
