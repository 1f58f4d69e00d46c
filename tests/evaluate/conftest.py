"""A random CLIP of the real architecture, and evaluation settings for it."""

from __future__ import annotations

import pytest

from p2i_ray.config import EvaluateConfig, ImageConfig


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIPModel folder with 8 image features and a preprocessing that resizes to 40 and crops 32."""
    import torch
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**tower, "image_size": 32, "patch_size": 8, "projection_dim": 8, "initializer_range": 0.2}
    text = {**tower, "vocab_size": 20, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def settings(clip_folder: str) -> EvaluateConfig:
    return EvaluateConfig(clip=clip_folder, fid_features="clip", batch_size=4, num_cpus=0.5)


@pytest.fixture
def image() -> ImageConfig:
    return ImageConfig(resolution=32)
