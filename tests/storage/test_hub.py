"""Which files of a repository are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.storage.hub import Source, choose, recorded

PUBLISHED = [  # as Stable Diffusion's inpainting model is
    ".gitattributes",
    "README.md",
    "model_index.json",
    "sd-v1-5-inpainting.ckpt",
    "sd-v1-5-inpainting.safetensors",
    "feature_extractor/preprocessor_config.json",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
]


def test_of_a_pipeline_the_parts_in_one_variant() -> None:
    assert choose(PUBLISHED) == [
        "README.md",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_of_a_judge_all_parts_and_their_index() -> None:
    parts = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    small = ["chat_template.jinja", "config.json", "tokenizer.json", "LICENSE"]
    files = [*parts, "model.safetensors.index.json", *small, "pytorch_model-00001-of-00002.bin", "modeling_own.py"]
    assert choose(files) == sorted([*parts, "model.safetensors.index.json", *small])
    fp16 = ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"]
    both = [*fp16, "model.safetensors.index.fp16.json", "config.json"]
    assert choose(both) == sorted(both)
    assert choose([*files, *both[:-1]]) == choose(files)
    assert "consolidated.safetensors" not in choose([*files, "consolidated.safetensors"])
    assert choose(["consolidated.safetensors", "params.json"]) == ["consolidated.safetensors", "params.json"]


def test_a_repository_without_safetensors() -> None:
    with pytest.raises(UserError, match="no safetensors weights"):
        choose(["config.json", "pytorch_model.bin", "flax_model.msgpack"])


@pytest.mark.parametrize("text", ["", "model", "a/b/c", "https://huggingface.co/a/b", "a/b c", "@main"])
def test_what_is_no_repository(text: str) -> None:
    with pytest.raises(UserError, match="is no repository of the hub; write OWNER/NAME"):
        Source.parse(text)


def test_a_revision() -> None:
    assert Source.parse("a/b") == Source("a/b", "")
    assert Source.parse("a/b.c-d@refs/pr/3") == Source("a/b.c-d", "refs/pr/3")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"repository": "a/b"}'])
def test_a_record_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / ".fetched.json").write_text(content)
    assert recorded(tmp_path, "a/b") is None
