"""LoRA: what learns, and that the adapter in lora/ is the difference between the merged folder and the first base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from safetensors.torch import load_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import export, loading, lora
from tests.support.make_batch import make_batch, make_model
from tests.support.make_round import write_round

pytestmark = pytest.mark.long

ROW = "text_encoder.embeddings.token_embedding.row"  # of the token
ADAPTER = Path("lora", "pytorch_lora_weights.safetensors")
FEED_FORWARD = "encoder.layers.0.mlp.fc1.weight"


def open_folder(location: Path | str) -> StableDiffusionInpaintPipeline:
    return StableDiffusionInpaintPipeline.from_pretrained(location, use_safetensors=True, local_files_only=True)


@torch.no_grad()
def outputs(pipeline: StableDiffusionInpaintPipeline, token: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The text encoder's states and the UNet's prediction from them."""
    prompts = [f"{name} {token or ''}".strip() for name in ("cup", "a round thing")]
    ids = pipeline.tokenizer(prompts, padding="max_length", max_length=16, return_tensors="pt").input_ids
    hidden = pipeline.text_encoder(ids).last_hidden_state
    inputs = torch.randn(2, 9, 8, 8, generator=torch.Generator().manual_seed(0))
    return hidden, pipeline.unet(inputs, torch.tensor([10, 900]), hidden).sample


def assert_adapter_is_the_difference(base: str, merged: Path, token: str | None = "<background>") -> None:
    """diffusers' own loaders, on the first base, give what the merged folder gives, and not what the base gives."""
    adapted = open_folder(base)
    adapted.load_lora_weights(merged / "lora")
    if token:
        adapted.load_textual_inversion(merged / "lora")
    expected = outputs(open_folder(merged), token)
    for got, wanted in zip(outputs(adapted, token), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert (outputs(open_folder(base), None)[1] - outputs(open_folder(merged), None)[1]).abs().max() > 0.01


def test_only_adapters_and_the_row_learn(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter, lora_rank=2)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    layers = {name.partition(".lora_")[0] for name in learning if ".lora_" in name}
    assert learning == {f"{layer}.lora_{side}.default.weight" for layer in layers for side in "AB"} | {ROW}
    attentions = [name for name, _ in parts.denoiser.named_modules() if name.endswith((".attn1", ".attn2"))]
    unet = {f"unet.{name}.{layer}" for name in attentions for layer in ("to_q", "to_k", "to_v", "to_out.0")}
    text = {f"text_encoder.encoder.layers.{i}.self_attn.{x}_proj" for i in range(2) for x in ("q", "k", "v", "out")}
    assert layers == unet | text and len(unet) == 32
    _, frozen_text = make_model(tiny_painter, lora_rank=2, lr_text=0)
    assert not any("text" in n and ".lora_" in n for n, p in frozen_text.named_parameters())


def test_it_starts_as_the_model_it_is_added_to(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter, lora_rank=2)
    _, plain = make_model(tiny_painter)
    batch = make_batch(parts, range(4))
    torch.testing.assert_close(model(batch, batch).total, plain(batch, batch).total, rtol=1e-6, atol=1e-6)


def test_its_start_depends_on_the_seed_alone(tiny_painter: DiffusionConfig) -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        parts = loading.load(tiny_painter.base, tiny_painter)
        lora.add(parts, settings, seed)
        return {name: p for name, p in parts.denoiser.named_parameters() if ".lora_A" in name}

    settings = make_model(tiny_painter, lora_rank=2)[1].settings
    first, again, other = start(1), start(1), start(2)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not any(torch.equal(value, other[name]) for name, value in first.items())


def test_a_round_is_saved_merged_and_as_an_adapter(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    out = write_round(tiny_painter, tiny_painter.base, tmp_path / "one", 1, lora_rank=3, lora_alpha=4.5)
    assert_adapter_is_the_difference(tiny_painter.base, out)
    assert {path.name for path in (out / "lora").iterdir()} == {ADAPTER.name, "learned_embeds.safetensors"}
    assert load_file(out / "lora" / "learned_embeds.safetensors").keys() == {"<background>"}
    base, merged = loading.load(tiny_painter.base, tiny_painter), loading.load(str(out), tiny_painter)
    assert torch.equal(base.denoiser.conv_in.weight, merged.denoiser.conv_in.weight)
    assert torch.equal(*(p.text_encoders[0].state_dict()[FEED_FORWARD] for p in (base, merged)))


def test_rounds_add_up_to_one_adapter(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    one = write_round(tiny_painter, tiny_painter.base, tmp_path / "one", 1, lora_rank=3)
    two = write_round(tiny_painter, one, tmp_path / "two", 2, lora_rank=2, lora_alpha=8)
    assert_adapter_is_the_difference(tiny_painter.base, two)
    ranks = {value.shape[0] for name, value in load_file(two / ADAPTER).items() if ".lora_A" in name}
    assert ranks == {5}


def test_a_round_may_leave_the_text_encoder_out(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    one = write_round(tiny_painter, tiny_painter.base, tmp_path / "one", 1, lora_rank=3)
    two = write_round(tiny_painter, one, tmp_path / "two", 2, lora_rank=2, lr_text=0)
    assert_adapter_is_the_difference(tiny_painter.base, two)


def test_without_a_token_there_is_no_embedding(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    diffusion = tiny_painter.model_copy(update={"token": None})
    out = write_round(diffusion, diffusion.base, tmp_path / "one", 1, lora_rank=2)
    assert_adapter_is_the_difference(diffusion.base, out, None)
    assert not (out / "lora" / "learned_embeds.safetensors").exists()


def test_full_fine_tuning_ends_the_adapter(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    one = write_round(tiny_painter, tiny_painter.base, tmp_path / "one", 1, lora_rank=2)
    two = write_round(tiny_painter, one, tmp_path / "two", 2)
    assert not (two / "lora").exists() and lora.read(str(two)) == {}


@pytest.mark.parametrize("rank", [0, 2])
def test_weights_of_another_model_are_not_laid_over(tiny_painter: DiffusionConfig, rank: int) -> None:
    _, model = make_model(tiny_painter, lora_rank=rank)
    parts = loading.load(tiny_painter.base, tiny_painter)
    weights = {"unet.elsewhere.weight": torch.zeros(1), ROW: torch.zeros(16)}
    with pytest.raises(AssertionError, match="elsewhere"):
        export.lay_over(parts, model.settings, weights)
