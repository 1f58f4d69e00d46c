"""Pictures of another program: which row has which, and that they are measured as they are."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError, Pixels
from p2i_ray.diffusion.baselines.given import GivenPictures, of_folder
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import SamplerOptions
from p2i_ray.errors import UserError
from tests.support.make_requests import make_request

IMAGE = ImageConfig(resolution=64)


def split_of(folder: Path, *ids: str | None) -> str:
    import pyarrow as pa

    (folder / "data" / "test").mkdir(parents=True)
    pq.write_table(pa.table({"id": list(ids)}), folder / "data" / "test" / "part-000.parquet")
    return str(folder / "data")


def save(file: Path, size: tuple[int, int] = (128, 128), colour: Any = (10, 20, 30), mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file)


def taken(method: GivenPictures, id_: str) -> Pixels:
    plain: PaintRequest = make_request(1, name="cup")
    [picture] = method.load("", SamplerOptions()).paint([method.request(plain, {"id": id_}, IMAGE)])
    return picture


def test_each_id_has_its_file_and_the_product_is_not_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, folder = split_of(tmp_path, "a.1", "shop/b", "tö", "none"), tmp_path / "pictures"
    save(folder / "a.1.png")
    save(folder / "shop" / "b.jpg", (64, 64), (200, 200, 200))
    save(folder / "to\u0308.webp", (32, 32), (0, 0, 0))  # as macOS writes it
    save(folder / "another.png")
    (folder / "a.1.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        method = of_folder(str(folder), data, "test")
    assert method.files == {"a.1": "a.1.png", "shop/b": "shop/b.jpg", "tö": "to\u0308.webp"}
    assert "no picture of 1 of 4 products, which are left out: none" in caplog.text
    np.testing.assert_array_equal(taken(method, "a.1"), np.full((64, 64, 3), (10, 20, 30), np.uint8))
    assert taken(method, "shop/b").mean() == pytest.approx(200, abs=1)
    with pytest.raises(ImageError, match="has no picture of it"):
        taken(method, "none")


def test_an_id_that_is_the_name_of_a_file_may_be_that_of_its_picture(tmp_path: Path) -> None:
    data, folder = split_of(tmp_path, "a.jpg", "b.jpg", "c.png", "c"), tmp_path / "pictures"
    for name in ("a.jpg", "b.jpg.png", "c.png", "c.png.png"):
        save(folder / name)
    with pytest.raises(UserError, match=r"has c\.png and c\.png\.png, two pictures of one id; leave one there"):
        of_folder(str(folder), data, "test")
    (folder / "c.png.png").rename(folder / "c.webp")
    files = of_folder(str(folder), data, "test").files
    assert files == {"a.jpg": "a.jpg", "b.jpg": "b.jpg.png", "c.png": "c.png", "c": "c.webp"}


def test_ids_that_are_lacking_or_twice_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match="1 of 2 rows have no id; give each one of its own"):
        of_folder(str(tmp_path / "pictures"), split_of(tmp_path / "none", "a", None), "test")
    with pytest.raises(UserError, match="2 rows of test have the id a; give each row one of its own"):
        of_folder(str(tmp_path / "pictures"), split_of(tmp_path / "twice", "a", "a"), "test")


def test_a_picture_of_another_shape_or_with_holes_is_set_aside(tmp_path: Path) -> None:
    data, folder = split_of(tmp_path, "a", "b", "c"), tmp_path / "pictures"
    save(folder / "a.png", (128, 96))
    save(folder / "b.png", colour=(1, 2, 3, 100), mode="RGBA")
    save(folder / "c.png", colour=(1, 2, 3, 255), mode="RGBA")
    method = of_folder(str(folder), data, "test")
    with pytest.raises(ImageError, match=r"a\.png has 128x96 pixels, another shape than its cutout \(64:64\)"):
        taken(method, "a")
    with pytest.raises(ImageError, match=r"b\.png is transparent"):
        taken(method, "b")
    assert taken(method, "c").tolist() == np.full((64, 64, 3), (1, 2, 3)).tolist()


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ([], r"is no folder that is there; method=given takes pictures from it, named ID\.png"),
        (["x.png"], r"has no picture that is named after an id of test \(a, b\), such as a\.png; it has x\.png"),
        (["x.txt"], r"such as a\.png; it has no picture"),
        (["a.png", "a.jpg"], r"has a\.jpg and a\.png, two pictures of one id; leave one there"),
    ],
)
def test_a_folder_that_can_not_be_meant_is_one_line(tmp_path: Path, files: list[str], line: str) -> None:
    data, folder = split_of(tmp_path, "a", "b"), tmp_path / "pictures"
    for name in files:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=line):
        of_folder(str(folder), data, "test")
