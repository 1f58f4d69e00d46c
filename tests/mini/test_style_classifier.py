"""The classifier of styles that comes with the package: held-out pictures, sharp and soft, in every category."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from p2i_ray.errors import UserError
from p2i_ray.mini import style_classifier, styles, world
from p2i_ray.mini.style_classifier import CLASSES, FOLDER, NONE, WEIGHTS, as_input, load
from p2i_ray.mini.styles import STYLES
from p2i_ray.mini.world import CATEGORIES, CLEAN

SEED = 4711  # no training or data has it


def drawn(count: int) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Pictures, masks, styles and categories: each class in turn, in the right scenes, as the data has them."""
    wanted = [CLASSES[index % len(CLASSES)] for index in range(count)]
    samples = [
        world.render(SEED, i, CLEAN) if style == NONE else styles.render(SEED, i, style)
        for i, style in enumerate(wanted)
    ]
    categories = [sample.category for sample in samples]
    return np.stack([s.image for s in samples]), np.stack([s.mask for s in samples]), wanted, categories


def test_held_out_pictures_are_recognised_in_every_category() -> None:
    images, masks, wanted, categories = drawn(440)
    right = np.array(load().styles_of(images, masks)) == wanted
    assert right.mean() > 0.97
    assert min(right[np.array(categories) == category].mean() for category in CATEGORIES) > 0.9
    assert min(right[np.array(wanted) == style].mean() for style in CLASSES) > 0.9
    scenes = [world.RIGHT_SCENE[category] for category in categories]
    assert (np.array(load().scenes_of(images, masks)) == scenes).mean() > 0.9


def test_probabilities_have_one_row_a_picture() -> None:
    images, masks, _, _ = drawn(130)  # more than a batch
    found = load().predict(images, masks)
    assert found.shape == (130, len(STYLES) + 1) and found.sum(1) == pytest.approx(1, abs=1e-5)
    assert load().predict(images[129:], masks[129:])[0] == pytest.approx(found[129], abs=1e-5)
    assert load().predict(images[:0], masks[:0]).shape == (0, len(CLASSES))


def test_the_product_is_not_looked_at() -> None:
    """Nor what lies a pixel beside it, where a painter may leave an edge."""
    images, masks, _, _ = drawn(4)
    other = images.copy()
    near = as_input(images, masks)[:, 3].numpy() == 0
    assert near.sum() > (masks >= 128).sum() and near[masks >= 128].all()
    other[near] = 255 - other[near]
    assert (load().predict(other, masks) == load().predict(images, masks)).all()


def test_what_the_network_sees() -> None:
    image, mask = np.full((1, 64, 64, 3), 255, np.uint8), np.zeros((1, 64, 64), np.uint8)
    image[0, 5, 7] = (0, 255, 0)
    mask[0, 30, 30] = 255
    seen = as_input(image, mask)
    assert seen.shape == (1, 4, 64, 64)
    assert seen[0, :, 5, 7].tolist() == pytest.approx([-1, 1, -1, 1])
    assert seen[0, :, 29, 31].tolist() == pytest.approx([127 / 127.5 - 1] * 3 + [0])  # grey, beside the product
    assert seen[0, :, 28, 31].tolist() == pytest.approx([1, 1, 1, 1])


def test_weights_are_small_halves() -> None:
    assert (FOLDER / WEIGHTS).stat().st_size < 200_000
    with safe_open(FOLDER / WEIGHTS, framework="pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.float16"}  # noqa: SIM118


def test_missing_weights_and_those_of_other_styles_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model\.safetensors; make it with"):
        load(tmp_path)
    save_file(load_file(FOLDER / WEIGHTS), tmp_path / WEIGHTS, metadata={"classes": "{}"})
    with pytest.raises(UserError, match="knows other styles"):
        load(tmp_path)


def test_saved_weights_are_read_as_they_were(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    network = style_classifier.new_network()
    style_classifier.save(network, tmp_path)
    images, masks, _, _ = drawn(3)
    with torch.no_grad():
        logits = network(as_input(images, masks))[:, : len(CLASSES)]
    assert load(tmp_path).predict(images, masks) == pytest.approx(logits.softmax(1).numpy(), abs=2e-3)
