"""Cutting by an ONNX network: real onnxruntime, networks whose answer is worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from p2i_ray.data.cutouts import onnx_network
from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.onnx_network import OnnxCutter
from p2i_ray.data.cutouts.settings import CutterConfig
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from tests.support.tiny_cutters import SIDE, write_onnx

PLAIN: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1), "output": "probabilities", "side": SIDE}


def settings(path: Path | str, **changed: Any) -> CutterConfig:
    return CutterConfig(**{"kind": "onnx", "model": str(path), **PLAIN, **changed})


def halves(left: tuple[int, int, int], right: tuple[int, int, int], height: int = SIDE) -> Pixels:
    photo = np.empty((height, SIDE, 3), np.uint8)
    photo[:, : SIDE // 2], photo[:, SIDE // 2 :] = left, right
    return photo


BESIDE = halves((0, 255, 255), (255, 0, 0))  # red alone is product to these networks


@pytest.mark.parametrize(("batch", "photos"), [("batch", 5), (1, 3), (2, 3)])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_masks_of_a_batch(tmp_path: Path, batch: int | str, photos: int, kind: int) -> None:
    path = write_onnx(tmp_path / "red.onnx", batch=batch, kind=kind)
    given = [np.roll(BESIDE, n, axis=1) for n in range(photos)]  # the product in another place in each
    for photo, cut in zip(given, OnnxCutter(settings(path, batch_size=2)).cut(given), strict=True):
        assert isinstance(cut, Cut)
        assert np.array_equal(cut.mask, photo[..., 0]) and cut.disagreement == 0


def test_the_mask_has_the_photos_size(tmp_path: Path) -> None:
    cutter = OnnxCutter(settings(write_onnx(tmp_path / "red.onnx")))
    large = BESIDE.repeat(5, axis=0).repeat(3, axis=1)
    wide = halves((0, 9, 9), (255, 9, 9), height=3)
    for photo, cut in zip((large, wide), cutter.cut([large, wide]), strict=True):
        assert isinstance(cut, Cut) and cut.mask.shape == photo.shape[:2]
        assert np.array_equal(cut.mask >= 128, photo[..., 0] == 255)
    assert cutter.cut([]) == []


def test_levels_are_normalised_and_logits_become_probabilities(tmp_path: Path) -> None:
    photo = halves((51, 0, 0), (204, 0, 0))  # 0.2 and 0.8
    path = write_onnx(tmp_path / "red.onnx")
    wanted = {"mean": (0.5, 0, 0), "std": (0.1, 1, 1), "output": "logits"}  # -3 and 3
    (cut,) = OnnxCutter(settings(path, **wanted)).cut([photo])
    assert isinstance(cut, Cut)
    assert cut.mask[0, [0, -1]].tolist() == [12, 243]  # 255 / (1 + e^3), 255 / (1 + e^-3)


def test_haze_apart_from_the_product_is_dropped_and_soft_edges_stay(tmp_path: Path) -> None:
    levels = np.zeros((SIDE, SIDE), np.uint8)
    levels[2:6, 3:6] = 255
    levels[2:6, 2] = 60  # a soft edge
    levels[7, 7] = 90  # haze
    levels[0, :] = 5
    photo = np.dstack([levels, 0 * levels, 0 * levels])
    (cut,) = OnnxCutter(settings(write_onnx(tmp_path / "red.onnx"))).cut([photo])
    wanted = levels.copy()
    wanted[7, 7] = wanted[0] = 0
    assert isinstance(cut, Cut) and np.array_equal(cut.mask, wanted)


def test_a_family_gives_what_is_not_set(tmp_path: Path) -> None:
    assert CutterConfig(kind="onnx", model="x", family="u2net").input() == (
        320,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "probabilities",
    )
    photo = halves((0, 0, 0), (255, 0, 0))
    path = write_onnx(tmp_path / "red.onnx", side="side", scale=2)  # of 0.5 taken off: 1
    (cut,) = OnnxCutter(CutterConfig(kind="onnx", model=str(path), family="isnet", side=32, output="logits")).cut(
        [photo]
    )
    assert isinstance(cut, Cut) and cut.mask[0, [0, -1]].tolist() == [69, 186]  # 255 / (1 + e), 255 / (1 + 1/e)


def test_a_mirrored_second_cut_shows_disagreement(tmp_path: Path) -> None:
    where = np.zeros((SIDE, SIDE))
    where[:, SIDE // 2 :] = 1  # blind on the left
    path = write_onnx(tmp_path / "blind.onnx", where=where)
    red = halves((255, 0, 0), (255, 0, 0))
    (cut,) = OnnxCutter(settings(path)).cut([red])
    assert isinstance(cut, Cut) and cut.disagreement == 1  # right half, then left half
    (once,) = OnnxCutter(settings(path, second_cut=False)).cut([red])
    assert isinstance(once, Cut) and once.disagreement is None and np.array_equal(once.mask, cut.mask)


def test_a_photo_without_a_product_keeps_its_neighbours(tmp_path: Path) -> None:
    nothing = halves((0, 255, 0), (100, 255, 0))
    missing, found = OnnxCutter(settings(write_onnx(tmp_path / "red.onnx"))).cut([nothing, BESIDE])
    assert isinstance(missing, ImageError) and isinstance(found, Cut)
    assert str(missing) == "no product found: the network's surest pixel has 0.39, below 0.5"


@pytest.mark.parametrize(
    ("made", "changed", "says"),
    [
        (
            {"side": 4},
            {},
            r"takes photo tensor\(float\) .*, not \(N, 3, 8, 8\); set another .* or ingest\.cutter\.side=4",
        ),
        ({"channels": 1}, {}, "it must take RGB"),
        ({"inputs": 2}, {}, r"must take one batch of photos \(N, 3, h, w\) as floats; it takes photo .*, more1"),
        ({"shape": (-1, 2, SIDE, 4)}, {}, r"its first output has the shape \(.*, 2, 8, 4\), not \(N, 1, h, w\)"),
        ({"shape": (SIDE, SIDE), "batch": 1}, {}, r"its first output has the shape \(8, 8\)"),
        ({}, {"num_gpus": 1}, "this onnxruntime has no CUDA: install onnxruntime-gpu"),
    ],
)
def test_networks_that_cannot_be_used_are_named_before_anything_starts(
    tmp_path: Path, made: dict[str, Any], changed: dict[str, Any], says: str
) -> None:
    path = write_onnx(tmp_path / "odd.onnx", **made)
    with pytest.raises(UserError, match=says):
        onnx_network.check(settings(path, **changed))
    onnx_network.check(settings(write_onnx(tmp_path / "red.onnx")))


def test_files_that_are_no_network(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    cut_off = write_onnx(tmp_path / "cut.onnx").read_bytes()[:90]
    (tmp_path / "cut.onnx").write_bytes(cut_off)
    for name, says in (
        ("none.onnx", "is not there; name an ONNX file"),
        (".", "is a folder; name its .onnx file"),
        ("text.onnx", "can't be opened as an ONNX network"),
        ("cut.onnx", "can't be opened as an ONNX network"),
    ):
        with pytest.raises(UserError, match=says) as raised:
            onnx_network.check(settings(tmp_path / name))
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("made", "changed", "says"),
    [
        ({"scale": 3}, {}, r"answers 0\.00 to 3\.00, no probabilities from 0 to 1; set ingest\.cutter\.output=logits"),
        ({}, {"output": "logits"}, "which are probabilities; set ingest.cutter.output=probabilities"),
    ],
)
def test_answers_of_another_kind_stop_the_job(
    tmp_path: Path, made: dict[str, Any], changed: dict[str, Any], says: str
) -> None:
    cutter = OnnxCutter(settings(write_onnx(tmp_path / "odd.onnx", **made), **changed))
    with pytest.raises(UserError, match=says):
        cutter.cut([BESIDE])


def test_a_photo_whose_answer_is_no_number_is_set_aside_alone(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "red.onnx")
    cutter = OnnxCutter(settings(path, mean=(float("nan"), 0, 0), batch_size=1))
    for found in cutter.cut([BESIDE]):
        assert isinstance(found, ImageError) and str(found).endswith("the network's answer is not finite")
