"""Scores of training photos that come from no judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from p2i_ray.comparison import row_scores
from p2i_ray.config import Config, load
from p2i_ray.data.images import GREY
from p2i_ray.errors import UserError
from p2i_ray.judge.calibration import gold

CONFIG = load(Config, "mini")


def test_values_are_stretched_to_scores_and_what_has_none_is_left_out(tmp_path: Path) -> None:
    table = row_scores._scores(["a", "b", "c", "d"], np.array([0.2, np.nan, 0.1, 0.15]))
    assert table["id"].to_pylist() == ["a", "c", "d"]
    assert table["score"].to_pylist() == pytest.approx([5, 1, 3])
    pq.write_table(table, tmp_path / "scores.parquet")
    assert gold.read(str(tmp_path / "scores.parquet"))["a"] == 5  # the loop reads it as given scores


def test_equal_values_are_all_the_lowest_score() -> None:
    assert row_scores._scores(["a", "b"], np.array([0.3, 0.3]))["score"].to_pylist() == [1, 1]


def test_chance_depends_on_the_seed_alone(mini_data: str, tmp_path: Path) -> None:
    def scores(name: str, seed: int) -> dict[str, float]:
        config = CONFIG.model_copy(update={"seed": seed})
        return gold.read(row_scores.write("random", mini_data, str(tmp_path / name), config=config))

    one, again, other = scores("one", 1), scores("again", 1), scores("other", 2)
    assert one == again != other and one.keys() == other.keys()


def test_scores_of_another_model_or_text_are_not_taken(tmp_path: Path) -> None:
    """They are there already: nothing is computed here."""
    clip, out = tmp_path / "clip", tmp_path / "scores"
    for folder in (clip, out):
        folder.mkdir()
    (clip / "model.safetensors").write_bytes(b"one")
    (out / row_scores.FILE).write_bytes(b"scores")

    def write(*settings: str, scorer: str = "clip_score") -> str:
        config = load(Config, "mini", [f"evaluate.clip={clip}", *settings])
        return row_scores.write(scorer, "/nowhere", str(out), config=config)

    assert write() == str(out / row_scores.FILE)  # an older version left no note
    made_with = row_scores._made_with("clip_score", load(Config, "mini", [f"evaluate.clip={clip}"]).evaluate)
    (out / row_scores.NOTE).write_text(json.dumps(made_with))
    assert write() == write("evaluate.fill=white") == write("evaluate.text=a {name}", scorer="colourfulness")
    with pytest.raises(UserError, match=r"was made with another evaluate\.text; change it back, or give another out"):
        write("evaluate.text=a photo of {name}")
    (clip / "model.safetensors").write_bytes(b"one")  # copied there anew
    assert write() == str(out / row_scores.FILE)
    (clip / "model.safetensors").write_bytes(b"two")
    with pytest.raises(UserError, match=r"was made with another evaluate\.clip; change"):
        write()


def test_colourfulness_by_hand() -> None:
    assert row_scores.colourfulness(np.full((4, 4, 3), GREY, np.uint8)) == 0
    picture = np.zeros((1, 2, 3), np.uint8)
    picture[0, 0] = (100, 0, 0)  # red-green: 100 and 0; yellow-blue: 50 and 0
    # Their deviations are 50 and 25, and so are their means: hypot(50, 25) * (1 + 0.3).
    assert row_scores.colourfulness(picture) == pytest.approx(np.hypot(50, 25) * 1.3)


def test_the_cosine_of_picture_and_name_is_that_of_transformers() -> None:
    import torch
    from transformers import CLIPModel, CLIPProcessor

    rng = np.random.default_rng(0)
    pictures, names = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(2)], ["a red bottle", "a bag"]
    found = row_scores.loaded("clip_score", CONFIG.evaluate)(pictures, names)
    clip = CLIPModel.from_pretrained(CONFIG.evaluate.clip)
    processor = CLIPProcessor.from_pretrained(CONFIG.evaluate.clip)
    inputs = processor(text=names, images=pictures, return_tensors="pt", padding=True)
    with torch.inference_mode():
        output = clip(**inputs)
    expected = (output.image_embeds * output.text_embeds).sum(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_aesthetic_score_needs_its_head() -> None:
    with pytest.raises(UserError, match=r"it needs evaluate\.aesthetics"):
        row_scores.check("aesthetics", CONFIG.evaluate)
