"""The record of an evaluation: what figures depend on."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue, record
from p2i_ray.evaluate.record import Record

FIGURES = {
    **{"fid": 3.0, "fid_images": 90, "fid_features": 8, "fid_clean": 4.0, "kid": 0.1, "kid_low": 0.0, "kid_high": 0.2},
    **{"available_rate": 0.5, "available_rate_images": 88, "available_rate_left_out": 12},
    **{"images": 100, "left_out": 2, "real_images": 90, "real_left_out": 0},
}
METRICS = ("fid", "fid_clean", "kid", "available_rate")


@pytest.fixture
def split(tmp_path: Path) -> Path:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.parquet").write_bytes(b"rows")
    return tmp_path / "test"


@pytest.fixture(autouse=True)
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of Inception's weights: it is only hashed here."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    from p2i_ray.evaluate.inception import weights

    weights().parent.mkdir(parents=True)
    weights().write_bytes(b"inception")


def made(settings: EvaluateConfig, split: Path) -> Record:
    return record.make(
        FIGURES,
        METRICS,
        model="runs/a/model",
        split=str(split),
        settings=settings,
        image=ImageConfig(resolution=64),
        judges={"weights": "abc", "flaws": "blur"},
        judge="evaluate.judge /models/second",
    )


def test_each_metric_has_its_own_figures_and_conditions(settings: EvaluateConfig, split: Path, tmp_path: Path) -> None:
    found = made(settings, split)
    fid, clean, kid, rate = (found.metrics[name] for name in METRICS)
    assert set(fid.figures) == {"fid", "fid_images", "fid_features"} and set(clean.figures) == {"fid_clean"}
    assert set(kid.figures) == {"kid", "kid_low", "kid_high"}
    assert (kid.conditions.images, kid.conditions.real_images, kid.conditions.resolution) == (100, 90, 64)
    assert (rate.conditions.images, rate.conditions.real_images) == (100, 0)
    assert (rate.conditions.weights, rate.conditions.settings) == ("abc", {"flaws": "blur"})
    assert f"torchmetrics {metadata.version('torchmetrics')}" in fid.conditions.library
    assert fid.conditions.weights == kid.conditions.weights != clean.conditions.weights
    assert not rate.conditions.library.endswith("none")  # vllm, or its build for CPUs
    assert found.judge == "evaluate.judge /models/second"  # for people; conditions have its fingerprint
    record.write(found, str(tmp_path))
    assert record.read(str(tmp_path)) == found


def test_other_weights_or_data_are_told_apart_and_other_places_are_not(
    settings: EvaluateConfig, split: Path, tmp_path: Path
) -> None:
    one = made(settings, split).metrics["kid"].conditions
    copy = Path(shutil.copytree(settings.clip, tmp_path / "copy"))
    moved = settings.model_copy(update={"clip": str(copy)})
    assert made(moved, split).metrics["kid"].conditions == one
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert made(moved, split).metrics["kid"].conditions.weights != one.weights
    (split / "a.parquet").write_bytes(b"others")
    assert made(settings, split).metrics["kid"].conditions.data != one.data


def test_every_metric_has_conditions(settings: EvaluateConfig, split: Path) -> None:
    given = ("dinov2", "pickscore", "hpsv2", "aesthetics", "aesthetics_clip", "scenes")
    models = dict.fromkeys(given, settings.clip)
    figures = {"images": 9, **{f"{name}_images": 9.0 for name in catalogue.NEEDS}}
    found = record.make(
        figures,
        tuple(catalogue.NEEDS),
        model="m",
        split=str(split),
        settings=settings.model_copy(update=models),
        image=ImageConfig(),
        judges={"weights": "abc"},
    )
    plain = {"product_unchanged", "product_colour", "seam_contrast", "product_expansion"}  # no network
    assert {name for name, one in found.metrics.items() if one.conditions.weights == "none"} == plain
    assert found.metrics["pickscore"].conditions.settings == {"text": "{name}"}


def test_a_folder_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no record\.json; give the out= folder of a finished jobs/evaluate\.py"):
        record.read(str(tmp_path))
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(UserError, match="is no record of an evaluation: Field required"):
        record.read(str(tmp_path))
    (tmp_path / "record.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(UserError, match=r"is no record of an evaluation: Invalid JSON.*; restore it from a copy"):
        record.read(str(tmp_path))
