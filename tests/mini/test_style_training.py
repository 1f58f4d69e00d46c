"""Training of the classifier of styles: what it draws, and what the committed one knows of soft and partial styles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from p2i_ray.mini import style_classifier, style_training, styles
from p2i_ray.mini.style_classifier import CLASSES, NONE
from p2i_ray.mini.style_training import ANY_SCENE, draw
from p2i_ray.mini.world import render

pytestmark = pytest.mark.long


def test_every_class_is_drawn_as_often_and_in_any_scene() -> None:
    found = [draw(1, index) for index in range(220)]
    assert set(Counter(style for _, style in found).values()) == {20} and {style for _, style in found} == set(CLASSES)
    assert len({(sample.category, sample.scene) for sample, _ in found}) > 70  # of 96
    for index, (sample, style) in enumerate(found[:22]):
        if style == NONE:
            assert (sample.image == render(1, index, ANY_SCENE).image).all()


def test_most_are_drawn_with_the_whole_style() -> None:
    indices = [index for index in range(300) if CLASSES[index % len(CLASSES)] != NONE]
    whole = [
        (draw(1, i)[0].image == styles.render(1, i, CLASSES[i % len(CLASSES)], mix=ANY_SCENE).image).all()
        for i in indices
    ]
    assert 0.5 < np.mean(whole) < 0.7


def test_soft_and_partial_styles_are_recognised() -> None:
    found = style_training.accuracy(style_classifier.load(), count=264, seed=4712)
    assert found["style"] > 0.97 and found["style, reconstructed"] > 0.95
    assert min(found[f"style{suffix}, worst category"] for suffix in ("", ", reconstructed")) > 0.85
    assert found["scene"] > 0.9 and found["scene, reconstructed"] > 0.85
    assert min(found[f"style, {part}"] for part in ("without motif", "palette alone", "without palette")) > 0.9


def test_training_makes_the_same_classifier_again(tmp_path: Path) -> None:
    for name in ("one", "again"):
        style_training.train(tmp_path / name, steps=2)
        assert [file.name for file in (tmp_path / name).iterdir()] == [style_classifier.WEIGHTS]
    one, again = ((tmp_path / name / style_classifier.WEIGHTS).read_bytes() for name in ("one", "again"))
    assert one == again
    assert one != (style_classifier.FOLDER / style_classifier.WEIGHTS).read_bytes()
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert style_classifier.load(tmp_path / "one").styles_of(black, black[..., 0])[0] in CLASSES
