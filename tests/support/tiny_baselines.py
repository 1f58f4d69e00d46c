"""Tiny random parts of the baselines, made for the tiny Stable Diffusion of tiny_models."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.baselines.extras import CONTEXT, OBJECT
from p2i_ray.diffusion.model import loading
from tests.support.tiny_models import CLIP_WIDTH, RESOLUTION, WIDTH

TOKENS = 4  # that a picture is, as diffusers has it


def build_controlnet(folder: Path, *, text: int = WIDTH) -> Path:
    """Write a ControlNet whose outputs are not zero, as an untrained one's would be."""
    torch.manual_seed(1)
    network = ControlNetModel(
        in_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        cross_attention_dim=text,
        attention_head_dim=4,
        norm_num_groups=4,
        layers_per_block=1,
        conditioning_embedding_out_channels=(4, 8),
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network.save_pretrained(folder)
    return folder


def build_ip_adapter(folder: Path, base: str, *, text: int = WIDTH) -> tuple[Path, Path]:
    """Write an adapter's file and its image encoder's folder."""
    torch.manual_seed(2)
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", local_files_only=True)
    state = {
        "image_proj.proj.weight": torch.randn(TOKENS * text, CLIP_WIDTH),
        "image_proj.proj.bias": torch.randn(TOKENS * text),
        "image_proj.norm.weight": torch.ones(text),
        "image_proj.norm.bias": torch.zeros(text),
    }
    layers = [name for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(layers):
        width = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
        for part in ("k", "v"):
            state[f"ip_adapter.{2 * number + 1}.to_{part}_ip.weight"] = torch.randn(width, text)
    folder.mkdir()
    save_file(state, folder / "adapter.safetensors")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**tower, image_size=RESOLUTION, patch_size=8, projection_dim=CLIP_WIDTH)
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "encoder")
    side = {"height": RESOLUTION, "width": RESOLUTION}
    CLIPImageProcessorPil(size={"shortest_edge": RESOLUTION}, crop_size=side).save_pretrained(folder / "encoder")
    return folder / "adapter.safetensors", folder / "encoder"


def build_powerpaint(folder: Path, painter: DiffusionConfig) -> Path:
    """Write the tiny model with PowerPaint's words, whose vectors are random."""
    parts = loading.load(painter.base, painter.model_copy(update={"token": None}))
    [tokenizer], [encoder] = parts.tokenizers, parts.text_encoders
    tokenizer.add_tokens([*CONTEXT, *OBJECT])
    encoder.resize_token_embeddings(len(tokenizer))
    torch.manual_seed(3)
    with torch.no_grad():
        encoder.get_input_embeddings().weight[-len(CONTEXT + OBJECT) :] = torch.randn(len(CONTEXT + OBJECT), WIDTH)
    parts.pipeline().save_pretrained(folder)
    return folder


def write_lama(path: Path, *, side: int | str = "side", scale: float = 255.0, channels: int = 1) -> Path:
    """Write a network that answers the picture, turned negative where the mask is 1, times `scale`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, side, side])
        for name, count in (("image", 3), ("mask", channels))
    ]
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, side, side])
    two, factor = (numpy_helper.from_array(torch.tensor(v).numpy(), n) for n, v in (("two", 2.0), ("factor", scale)))
    nodes = [  # picture + mask (1 - 2 picture)
        helper.make_node("Mul", ["image", "two"], ["double"]),
        helper.make_node("Mul", ["double", "mask"], ["taken"]),
        helper.make_node("Sub", ["image", "taken"], ["rest"]),
        helper.make_node("Add", ["rest", "mask"], ["sum"]),
        helper.make_node("Mul", ["sum", "factor"], ["output"]),
    ]
    graph = helper.make_graph(nodes, "lama", inputs, [out], [two, factor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
