"""Settings of cutters that don't fit each other are refused."""

from __future__ import annotations

from typing import Any

import pytest

from p2i_ray.data.cutouts.settings import CutterConfig


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "onnx"}, "model names the network"),
        ({"model": "isnet.onnx"}, "grabcut has none"),
        ({"num_gpus": 1}, "grabcut computes on the CPU"),
        (
            {"kind": "onnx", "model": "x.onnx"},
            "set family .isnet, u2net, birefnet, rmbg-1.4, rmbg-2.0., or all of side",
        ),
        ({"kind": "onnx", "model": "x.onnx", "side": 320, "mean": (0, 0, 0), "std": (1, 1, 1)}, "or all of side"),
        ({"kind": "onnx", "model": "x.onnx", "family": "isnet", "std": (1, 0, 1)}, "std must not be 0"),
        ({"kind": "onnx", "model": "x.onnx", "family": "yolo"}, "family"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CutterConfig(**given)


def test_a_family_and_what_overrides_it() -> None:
    assert CutterConfig(kind="onnx", model="x", family="birefnet").input()[0] == 1024
    changed = CutterConfig(kind="onnx", model="x", family="rmbg-1.4", side=512, mean=(0.5, 0.5, 0.4), output="logits")
    assert changed.input() == (512, (0.5, 0.5, 0.4), (1, 1, 1), "logits")
    own = CutterConfig(kind="onnx", model="x", side=64, mean=(0, 0, 0), std=(1, 1, 2), output="probabilities")
    assert own.input() == (64, (0, 0, 0), (1, 1, 2), "probabilities")
