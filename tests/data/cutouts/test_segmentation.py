"""Cutting by checkpoints of transformers: tiny random ones, against their own answers and softmax by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor

from p2i_ray.data.cutouts import segmentation
from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.segmentation import SegmentationCutter
from p2i_ray.data.cutouts.settings import CutterConfig
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from tests.support.tiny_cutters import PROCESSOR, write_mask2former, write_segformer

LABELS = ("wall", "vase", "cup", "floor")
OWN_CODE = {"auto_map": {"AutoConfig": "net.Config"}}
PHOTOS = [np.random.default_rng(n).integers(0, 256, (32, 32, 3), np.uint8) for n in range(3)]


def settings(folder: Path, *labels: str) -> CutterConfig:
    return CutterConfig(kind="transformers", model=str(folder), labels=labels, batch_size=2, second_cut=False)


def inputs(photo: Pixels) -> torch.Tensor:
    values = (photo / 255 - PROCESSOR["image_mean"]) / PROCESSOR["image_std"]
    return torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32)


def as_mask(plane: np.ndarray) -> np.ndarray:
    """A network's plane (h, w) as the mask of a photo four times as large."""
    large = torch.nn.functional.interpolate(torch.tensor(plane)[None, None], scale_factor=4, mode="bilinear")[0, 0]
    return np.round(large.numpy() * 255)


def test_the_classes_that_are_product_by_pixel(tmp_path: Path) -> None:
    model = write_segformer(tmp_path, LABELS)
    found = 0
    for photo, cut in zip(PHOTOS, SegmentationCutter(settings(tmp_path, "cup", "vase")).cut(PHOTOS), strict=True):
        scores = model(pixel_values=inputs(photo)).logits[0].detach().numpy()  # (4, 8, 8)
        plane = (np.exp(scores[1]) + np.exp(scores[2])) / np.exp(scores).sum(axis=0)
        if plane.max() < 0.5:
            continue
        found += 1
        assert isinstance(cut, Cut) and np.abs(cut.mask - as_mask(plane)).max() <= 1
    assert found


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), ("background", "product"), ("product", "Background")])
def test_of_two_classes_the_one_that_is_no_background_is_product(tmp_path: Path, labels: tuple[str, str]) -> None:
    write_segformer(tmp_path, labels)
    product = 0 if labels[0] == "product" else 1
    named, unnamed, other = (
        SegmentationCutter(settings(tmp_path, *some))._planes(PHOTOS)
        for some in ((labels[product],), (), (labels[1 - product],))
    )
    np.testing.assert_array_equal(unnamed, named)
    assert not np.allclose(unnamed, other)


@pytest.mark.parametrize(
    "given",
    [
        {"image_processor_type": "SegformerImageProcessor", "size": {"height": 32, "width": 32}},
        {"image_processor_type": "SegformerImageProcessor"},
        {"feature_extractor_type": "MobileViTFeatureExtractor", "size": {"shortest_edge": 32}},
        {"image_processor_type": "MobileViTImageProcessor", "do_rescale": False},
        {"feature_extractor_type": "BeitFeatureExtractor", "size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    ],
)
def test_preprocessing_that_a_folder_leaves_to_its_class(tmp_path: Path, given: dict[str, Any]) -> None:
    write_segformer(tmp_path, LABELS)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(given))
    preprocessing = segmentation._Preprocessing(str(tmp_path))
    photo = np.random.default_rng(0).integers(0, 256, (*preprocessing._size, 3), np.uint8)  # isn't resized
    theirs = AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True)
    whole = {"do_resize": False, **({"do_center_crop": False} if "crop_size" in theirs.to_dict() else {})}
    expected = theirs(images=[photo], return_tensors="np", **whole)["pixel_values"][0]
    np.testing.assert_allclose(preprocessing(photo), expected, atol=1e-4)


def test_masks_with_classes(tmp_path: Path) -> None:
    model = write_mask2former(tmp_path, LABELS)
    cutter = SegmentationCutter(settings(tmp_path, "vase", "cup", "floor"))
    photos = [photo.repeat(2, axis=0).repeat(2, axis=1) for photo in PHOTOS]
    for photo, cut in zip(photos, cutter.cut(photos), strict=True):
        answer = model(pixel_values=inputs(photo))
        classes = answer.class_queries_logits[0].detach().numpy()  # (5, 4 and none)
        shares = np.exp(classes) / np.exp(classes).sum(axis=1, keepdims=True)
        masks = 1 / (1 + np.exp(-answer.masks_queries_logits[0].detach().numpy()))  # (5, 8, 8)
        plane = (shares[:, 1:4].sum(axis=1)[:, None, None] * masks).sum(axis=0).clip(max=1)
        assert isinstance(cut, Cut) and np.abs(cut.mask - as_mask(plane)).max() <= 1


def test_of_two_classes_the_second_is_the_product(tmp_path: Path) -> None:
    write_segformer(tmp_path, ("background", "product"))
    weights = load_file(tmp_path / "model.safetensors")
    weights["decode_head.classifier.weight"] *= 0
    weights["decode_head.classifier.bias"] = torch.tensor([0.0, 2.0])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (cut,) = SegmentationCutter(settings(tmp_path)).cut(PHOTOS[:1])
    assert isinstance(cut, Cut) and set(cut.mask.ravel().tolist()) == {225}  # 255 e^2 / (1 + e^2)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_segformer(tmp_path, LABELS)
    for given, says in (
        ((), r"knows 4 classes; say which are product: labels=\[…\] \(wall, vase, cup, floor\)"),
        (("mug",), r"has no class mug \(ingest\.cutter\.labels\); it has wall, vase, cup, floor"),
    ):
        with pytest.raises(UserError, match=says):
            segmentation.check(settings(tmp_path, *given))
    segmentation.check(settings(tmp_path, "cup"))
    with pytest.raises(UserError, match=r"is no folder; name one with config\.json"):
        segmentation.check(settings(tmp_path / "model.safetensors", "cup"))


def test_weights_that_are_missing_are_no_random_numbers(tmp_path: Path) -> None:
    write_segformer(tmp_path, LABELS)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["decode_head.classifier.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights of its network, such as decode_head\.classifier\.bias"):
        SegmentationCutter(settings(tmp_path, "cup"))


def test_weights_of_another_size_than_the_config_says_are_one_line(tmp_path: Path) -> None:
    write_segformer(tmp_path, LABELS)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"]["99"] = "bowl"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"has 2 weights of another size .*, such as decode_head\.classifier\.bias \("):
        SegmentationCutter(settings(tmp_path, "cup"))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "bert"}, "is a bert, which is none of the segmentation models"),
        (
            {"model_type": "BiRefNet", **OWN_CODE},
            "brings its own code, which is never run",
        ),
        (OWN_CODE, "brings its own code, which is never run"),
        ({}, "can't be used as a segmentation model"),
        ({"model_type": "segformer"}, "preprocessor_config.json"),
    ],
)
def test_other_checkpoints(tmp_path: Path, config: dict[str, object], says: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "net.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match=says) as raised:
        segmentation.check(settings(tmp_path))
    assert "\n" not in str(raised.value)
