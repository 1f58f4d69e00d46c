"""The models and photos of the full-size walk: `python -m bench.full_size_models NAME BASE CLIP` writes a model."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from p2i_ray.mini.world import CLEAN, render
from p2i_ray.planning import full_size
from p2i_ray.planning.architectures import PUBLISHED, PUBLISHED_XL, Architecture

PHOTOS, ENLARGED = 8, 4
VISION = {  # CLIP ViT-L/14's image tower
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}
_UNET = {"block_out_channels": [64, 128, 256], "attention_head_dim": [1, 2, 4], "cross_attention_dim": 768 + 256}
_SECOND = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "projection_dim": 256}
NARROW_XL = PUBLISHED_XL._replace(
    name="Stable Diffusion XL's inpainting model, a fifth as wide",
    parts={
        **PUBLISHED_XL.parts,
        "unet": {**PUBLISHED_XL.parts["unet"], **_UNET, "projection_class_embeddings_input_dim": 6 * 256 + 256},
        "text_encoder_2": {**PUBLISHED_XL.parts["text_encoder_2"], **_SECOND},
    },
)
MODELS: dict[str, Architecture] = {"sd15": PUBLISHED, "sdxl": NARROW_XL}


def build(name: str, base: Path, clip: Path) -> None:
    """Write a model folder in half precision, as many are published, and the CLIP of its first text encoder.

    Args:
        name: of MODELS.
        base: the model folder.
        clip: the CLIP's.
    """
    torch.manual_seed(0)
    architecture = MODELS[name]
    parts = full_size.build(architecture, None, full_size.build_scheduler(architecture))
    for network in (*parts.networks.values(), parts.vae):
        network.to(torch.float16)
    parts.pipeline().save_pretrained(base, safe_serialization=True)
    text = architecture.texts[0]
    whole: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=768))
    whole.text_model.load_state_dict(parts.networks["text_encoder"].state_dict())
    whole.to(torch.float16).save_pretrained(clip)
    CLIPImageProcessorPil().save_pretrained(clip)


def write_photos(folder: Path) -> None:
    """Write photos of the toy world, larger than they are, with their cutouts and a list of names."""
    folder.mkdir()
    with (folder / "names.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "name", "category", "cutout"])
        for number in range(PHOTOS):
            sample = render(7, number, CLEAN)
            photo = Image.fromarray(sample.image)
            cutout = Image.fromarray(np.dstack([sample.image, sample.mask]))
            size = (ENLARGED * photo.width, ENLARGED * photo.height)
            photo.resize(size).save(folder / f"{number}.png")
            cutout.resize(size).save(folder / f"{number}-cutout.png")
            table.writerow([f"{number}.png", sample.name, sample.category, f"{number}-cutout.png"])


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
