"""The models of single-picture scores: loaded by their settings, and mistakes found before anything is generated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue
from p2i_ray.evaluate.measure import MetricSet
from tests.support.generated_rows import generated

CLIP = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "evaluator_clip"


@pytest.fixture
def scored(settings: EvaluateConfig, clip_folder: str, tmp_path: Path) -> EvaluateConfig:
    save_file({"weight": torch.ones(1, 8), "bias": torch.tensor([5.0])}, tmp_path / "head.safetensors")
    models = {"pickscore": str(CLIP), "hpsv2": str(CLIP), "aesthetics": str(tmp_path / "head.safetensors")}
    return settings.model_copy(update={**models, "aesthetics_clip": clip_folder})


def test_the_scores_of_rows(scored: EvaluateConfig, image: ImageConfig) -> None:
    names = ("pickscore", "hpsv2", "aesthetics")
    catalogue.check(scored, names, "test", 4)
    running = MetricSet(scored, image, names)
    running.add_generated(generated(4))
    found = running.figures()
    scale = float(catalogue.Models(scored, "cpu").pickscore.logit_scale.exp())
    assert found["pickscore"] == pytest.approx(scale * found["hpsv2"])  # the same model: one is the other's cosine
    assert 5 - 8**0.5 <= found["aesthetics"] <= 5 + 8**0.5  # the sum of eight numbers whose squares sum to one
    assert found["aesthetics_low"] < found["aesthetics"] < found["aesthetics_high"]


def test_mistakes_are_one_line(scored: EvaluateConfig, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(CLIP, tmp_path / "bare"))
    (bare / "processor_config.json").unlink()
    mute = Path(shutil.copytree(CLIP, tmp_path / "mute"))
    (mute / "tokenizer.json").unlink()
    for metric, changes, line in (
        ("pickscore", {"pickscore": None}, r"pickscore needs a model: set evaluate\.pickscore, or leave pickscore out"),
        ("pickscore", {"pickscore": str(tmp_path)}, r"evaluate\.pickscore=.* is no transformers CLIP folder"),
        ("pickscore", {"pickscore": str(bare)}, "has no preprocessor_config.json"),
        ("hpsv2", {"hpsv2": str(mute)}, "has neither tokenizer.json nor"),
        ("hpsv2", {"hpsv2": "/nowhere.pt"}, r"evaluate\.hpsv2=/nowhere\.pt is not there"),
        ("hpsv2", {"text": "a photo"}, r"evaluate\.text='a photo' has no"),
        ("aesthetics", {"aesthetics_clip": None}, r"set evaluate\.aesthetics_clip"),
        ("aesthetics", {"aesthetics": str(CLIP / "config.json")}, r"set evaluate\.aesthetics_sha256"),
        ("aesthetics", {"aesthetics_sha256": "0" * 64}, "has the SHA-256 .*, not 000"),
    ):
        with pytest.raises(UserError, match=line):
            catalogue.check(scored.model_copy(update=changes), (metric,), "test", 4)


def test_a_head_of_another_clip_is_refused(scored: EvaluateConfig, image: ImageConfig) -> None:
    other = scored.model_copy(update={"aesthetics_clip": str(CLIP)})
    with pytest.raises(UserError, match="the head belongs to another CLIP"):
        MetricSet(other, image, ("aesthetics",))
