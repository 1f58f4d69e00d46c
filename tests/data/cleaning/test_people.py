"""A detector of people whose heads are set by hand: it sees one person in the picture's middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

from p2i_ray.data.cleaning import people
from p2i_ray.errors import UserError

SIDE = 32


def write(folder: Path, *labels: str) -> str:
    """A tiny detector: every box is (0.25, 0.25) to (0.75, 0.75), and shows the first label."""
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[SIDE, SIDE],
        patch_size=16,
        num_detection_tokens=2,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
    )
    model = YolosForObjectDetection(config)
    with torch.no_grad():
        for layer in (*model.class_labels_classifier.layers, *model.bbox_predictor.layers):
            layer.weight.zero_()
            layer.bias.zero_()  # sigmoid(0): centre, width and height are one half
        model.class_labels_classifier.layers[-1].bias[0] = 9
    model.save_pretrained(folder, safe_serialization=True)
    YolosImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return str(folder)


def test_people_are_where_the_detector_sees_them(tmp_path: Path) -> None:
    model = write(tmp_path / "detector", "Person", "chair")
    people.check(model)
    cover = people.PeopleCover(model)(np.zeros((80, 40, 3), np.uint8))
    expected = np.zeros((80, 40), np.uint8)
    expected[20:60, 10:30] = 255
    assert np.array_equal(cover, expected)


def test_other_things_are_no_people(tmp_path: Path) -> None:
    model = write(tmp_path / "detector", "chair", "person")
    assert not people.PeopleCover(model)(np.zeros((40, 40, 3), np.uint8)).any()


def test_what_is_no_detector_of_people_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"people_model=.*/nowhere has no config\.json"):
        people.check(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="knows no class 'person'"):
        people.check(write(tmp_path / "chairs", "chair", "table"))
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UserError, match=r"no \*\.safetensors weights"):
        people.check(str(folder))
    (folder / "model.safetensors").touch()
    with pytest.raises(UserError, match="is a clip model, no object detector"):
        people.check(str(folder))
