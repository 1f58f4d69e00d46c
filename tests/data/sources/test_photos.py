"""From the bytes of a photo to a square picture and a mask, and which files may be read at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data.cutouts.grabcut import CutoutConfig
from p2i_ray.data.images import ImageError, Pixels, encode_png
from p2i_ray.data.sources.photos import make_sample, read_photo
from tests.support.photos import photo

IMAGE = ImageConfig(resolution=64)


def with_alpha(colours: Pixels, clear: slice) -> bytes:
    alpha = np.full(colours.shape[:2], 255, np.uint8)
    alpha[:, clear] = 0
    return encode_png(np.dstack([colours, alpha]))


def test_transparency_is_the_mask_and_hidden_colours_are_the_background() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    picture, mask = make_sample(with_alpha(noise, slice(0, 32)), CutoutConfig(), IMAGE)
    assert np.array_equal(picture, noise)
    assert (mask[:, 32:] == 255).all() and (mask[:, :32] == 0).all()


def test_a_cutout_without_a_background_stands_on_white() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    picture, _ = make_sample(with_alpha(black, slice(0, 32)), CutoutConfig(), IMAGE)
    assert (picture[:, :32] == 255).all() and (picture[:, 32:] == 0).all()


def test_a_few_clear_pixels_are_no_cutout() -> None:
    picture, mask = make_sample(photo("horse.png").read_bytes(), CutoutConfig(), IMAGE)  # it has four
    assert 0.2 < (mask >= 128).mean() < 0.4  # the horse, not the whole picture
    assert picture[mask == 255].mean() < 60


@pytest.mark.parametrize(
    ("clear", "covers"), [(slice(0, 3), "outside"), (slice(0, 63), "covers 1.6%"), (slice(0, 64), "everywhere")]
)
def test_products_that_are_too_small_or_too_large(clear: slice, covers: str) -> None:
    colours = np.full((64, 64, 3), 90, np.uint8)
    cutout = CutoutConfig(max_share=0.9)
    if clear == slice(0, 3):
        clear = slice(0, 4)  # 94 % product
    with pytest.raises(ImageError, match=f"no product found: .*{covers}"):
        make_sample(with_alpha(colours, clear), cutout, IMAGE)


def test_only_ordinary_files_within_the_folder_are_read(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "photos", tmp_path / "secret.jpg"
    (root / "sub").mkdir(parents=True)
    elsewhere.write_bytes(b"secret")
    (root / "sub" / "a.jpg").write_bytes(b"0123456789")
    (root / "inside.jpg").symlink_to(root / "sub" / "a.jpg")
    (root / "out.jpg").symlink_to(elsewhere)
    (root / "up").symlink_to(tmp_path)
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe.jpg")
    assert read_photo(str(root), "sub/a.jpg", 100) == read_photo(str(root), "inside.jpg", 100) == b"0123456789"
    assert read_photo(f"file://{root}", "sub/a.jpg", 100) == b"0123456789"
    assert read_photo(str(root), "sub/a.jpg", 4) == b"01234"  # one more than allowed: decode says too large
    refused = {
        "out.jpg": "outside the folder",
        "up/secret.jpg": "outside the folder",
        "sub/../../secret.jpg": "outside",
        "none.jpg": "file missing",
        "sub": "unreadable",
        "pipe.jpg": "not an ordinary file",
        "sub/a.jpg/b": "unreadable",
        "circle": "unreadable",
        "x" * 400: "unreadable",
    }
    for file, reason in refused.items():
        with pytest.raises(ImageError, match=reason):
            read_photo(str(root), file, 100)


def test_photos_come_from_buckets_too() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/bucket/photos/a.jpg", b"0123456789")
    assert read_photo("memory://bucket/photos", "a.jpg", 4) == b"01234"
    with pytest.raises(ImageError, match="file missing"):
        read_photo("memory://bucket/photos", "b.jpg", 4)
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
