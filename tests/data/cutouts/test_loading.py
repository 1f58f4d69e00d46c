"""The setting chooses the cutter."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.data.cutouts import loading
from p2i_ray.data.cutouts.settings import CutoutConfig, CutterConfig
from p2i_ray.errors import UserError
from tests.support.tiny_cutters import SIDE, write_onnx, write_segformer


def test_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(tmp_path / "red.onnx")
    write_segformer(tmp_path / "segformer", ("background", "product"))
    monkeypatch.chdir(tmp_path)
    onnx = CutterConfig(kind="onnx", model="red.onnx", family="isnet", side=SIDE)
    folder = CutterConfig(kind="transformers", model="segformer")
    for settings in (CutterConfig(), onnx, folder):
        found = loading.anywhere(settings)
        assert found.model is None or found.model == str(tmp_path / str(settings.model))
        loading.check(found)
        assert loading.load(found, CutoutConfig()).kind == settings.kind


def test_a_network_that_is_not_there_is_told_on_the_driver() -> None:
    for kind in ("onnx", "transformers"):
        with pytest.raises(UserError, match=r"ingest\.cutter\.model=/nowhere/net"):
            loading.check(CutterConfig(kind=kind, model="/nowhere/net", family="isnet"))
