"""The catalogue of metrics: what is checked before anything is generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue
from p2i_ray.evaluate.measure import MetricSet
from tests.support.generated_rows import generated


def test_each_metric_can_be_made_or_says_what_it_lacks(
    settings: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lacking = {"fid_clean", "fd_dinov2", "pickscore", "hpsv2", "aesthetics", "scene_fit"}
    for name in catalogue.NEEDS:
        if name in lacking:
            with pytest.raises(UserError, match=f"^{name} needs .*or leave .* out of the metrics$"):
                catalogue.check(settings, (name,), "test", 100)
        else:
            catalogue.check(settings, (name,), "test", 100)
            elsewhere = name in catalogue.LOOP or catalogue.NEEDS[name].judge
            assert elsewhere or catalogue.make(name, catalogue.Models(settings, "cpu"))


def test_kid_in_inceptions_features_needs_inception(
    settings: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"evaluate\.fid_features=inception needs .*, or set evaluate\.fid_features"):
        catalogue.check(settings.model_copy(update={"fid_features": "inception"}), ("kid",), "test", 100)


def test_too_few_pictures_are_told_with_how_many_it_needs(settings: EvaluateConfig) -> None:
    with pytest.raises(UserError, match="kid needs 10 pictures a side, and test has 9 scenes; give a larger split"):
        catalogue.check(settings, ("clip_c_i", "kid"), "test", 9)
    with pytest.raises(UserError, match="has 1 scenes; give a larger split, or, in an evaluation, leave fid out"):
        catalogue.check(settings, ("fid",), "test", 1)
    catalogue.check(settings, ("diversity",), "test", 0)  # painted from cutouts alone, which have no scenes


def test_too_few_rows_to_paint_are_told_before_they_are_painted() -> None:
    names = ("clip_c_i", "diversity", "product_unchanged")
    catalogue.check_painted(names, "test", 10, ["cup"])
    catalogue.check_painted(("category_compactness",), "test", 10, ["", "cup"])
    with pytest.raises(UserError, match="diversity needs 10 pictures, and test has 9 rows; give a larger split"):
        catalogue.check_painted(names, "test", 9, ["cup"])
    with pytest.raises(UserError, match="category_compactness compares categories, and all rows of test are of 'cup'"):
        catalogue.check_painted(("category_compactness",), "test", 10, ["cup"])


def test_a_metric_that_is_asked_for_twice_is_measured_once() -> None:
    assert catalogue.known(("kid", "fid", "kid")) == ("kid", "fid")


def test_the_cutter_is_grabcut_unless_a_network_is_given(settings: EvaluateConfig, image: ImageConfig) -> None:
    assert catalogue.cutter(settings).kind == "grabcut"
    given = settings.model_copy(update={"cutter": "/nowhere.onnx"})
    with pytest.raises(UserError, match=r"/nowhere\.onnx"):
        catalogue.check(given, ("product_expansion",), "test", 100)
    running = MetricSet(settings, image, ("product_expansion",))
    running.add_generated(generated(3))  # noise, in which nothing looks like a product
    with pytest.raises(UserError, match="product_expansion needs 2 pictures; there are 0 generated"):
        running.figures()
