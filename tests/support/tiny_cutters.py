"""Tiny networks that cut: ONNX files whose answer can be worked out by hand, and random checkpoints of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)

SIDE = 8  # of the ONNX network's input
NORMALISATION = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
PROCESSOR = {**NORMALISATION, "image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 1.0, 2.0]}


def write_onnx(
    path: Path,
    *,
    batch: int | str = "batch",
    side: int | str = SIDE,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
    where: np.ndarray | None = None,
    scale: float = 1.0,
    shape: tuple[int, ...] = (),
    inputs: int = 1,
) -> Path:
    """Write a network that answers its input's first channel times `scale`, (N, 1, h, w).

    Args:
        path: the file.
        batch: size of its batch, or the name of a free one.
        side: of its input, or the name of a free one.
        channels: of its input.
        kind: of its numbers.
        where: a plane that the answer is multiplied by (none: by 1).
        scale: see above.
        shape: of the answer, where it is another.
        inputs: number of inputs that it says to want.
    """
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    weights = np.zeros((1, channels, 1, 1), dtype)
    weights[0, 0] = scale
    plane = np.ones((1, 1, 1, 1), dtype) if where is None else where.astype(dtype)[None, None]
    nodes = [
        helper.make_node("Conv", ["photo", "weights"], ["first"]),
        helper.make_node("Mul", ["first", "plane"], ["last" if shape else "mask"]),
    ]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(plane, "plane")]
    if shape:
        nodes.append(helper.make_node("Reshape", ["last", "shape"], ["mask"]))
        constants.append(numpy_helper.from_array(np.array(shape, np.int64), "shape"))
    taken = [helper.make_tensor_value_info("photo", kind, [batch, channels, side, side])]
    taken += [helper.make_tensor_value_info(f"more{n}", kind, [1]) for n in range(1, inputs)]
    answer = helper.make_tensor_value_info("mask", kind, None)
    graph = helper.make_graph(nodes, "cutter", taken, [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def write_segformer(folder: Path, labels: tuple[str, ...]) -> SegformerForSemanticSegmentation:
    """Write a random SegFormer of 32 x 32 pixels with these classes; returns it."""
    torch.manual_seed(0)
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1, 1, 1, 1],
        mlp_ratios=[1, 1, 1, 1],
        decoder_hidden_size=8,
        id2label=dict(enumerate(labels)),
    )
    model = SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(std=0.5)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, "size": {"height": 32, "width": 32}}))
    return model


def write_mask2former(folder: Path, labels: tuple[str, ...]) -> Mask2FormerForUniversalSegmentation:
    """Write a random Mask2Former of 64 x 64 pixels with these classes; returns it."""
    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        id2label=dict(enumerate(labels)),
    )
    model = Mask2FormerForUniversalSegmentation(config).eval()
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, "size": {"shortest_edge": 64}}))
    return model
