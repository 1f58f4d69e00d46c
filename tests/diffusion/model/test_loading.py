"""Loading a model folder: the token, and the inputs for mask and product that a plain model lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.model import loading
from p2i_ray.errors import UserError
from tests.support.make_batch import make_batch, make_model
from tests.support.shard import shard
from tests.support.tiny_models import build_vae

WEIGHTS_NAME = "diffusion_pytorch_model"


def test_the_token_is_taught_unless_there_is_none(tiny_painter: DiffusionConfig) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    assert parts.token_ids[0] == len(parts.tokenizers[0]) - 1 and not parts.widened
    none = loading.load(tiny_painter.base, tiny_painter.model_copy(update={"token": None}))
    assert none.token_ids == () and len(none.tokenizers[0]) == len(parts.tokenizers[0]) - 1
    assert len(none.text_encoders[0].get_input_embeddings().weight) == parts.token_ids[0]


def test_a_widened_model_predicts_what_it_did(plain_painter: DiffusionConfig) -> None:
    plain = UNet2DConditionModel.from_pretrained(plain_painter.base, subfolder="unet", local_files_only=True)
    parts = loading.load(plain_painter.base, plain_painter)
    assert parts.widened and (plain.config.in_channels, parts.denoiser.config.in_channels) == (4, 9)
    noisy, mask, product = torch.randn(2, 4, 8, 8), torch.ones(2, 1, 8, 8), torch.randn(2, 4, 8, 8)
    text, timesteps = torch.randn(2, 16, 16), torch.tensor([3, 900])
    with torch.no_grad():
        before = plain(noisy, timesteps, text).sample
        after = parts.denoiser(torch.cat([noisy, mask, product], dim=1), timesteps, text).sample
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


def test_what_is_added_learns(plain_painter: DiffusionConfig) -> None:
    parts, model = make_model(plain_painter)
    model(*[make_batch(parts, range(4))] * 2).total.backward()
    added = model.denoiser.conv_in.weight.grad[:, 4:]
    assert (added.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_lora_is_refused_on_a_widened_model(plain_painter: DiffusionConfig) -> None:
    with pytest.raises(UserError, match=r"train.lora_rank=2 can't train what diffusion.widen=true adds"):
        make_model(plain_painter, lora_rank=2)


def test_a_plain_model_is_not_widened_unasked(plain_painter: DiffusionConfig) -> None:
    unasked = plain_painter.model_copy(update={"widen": False})
    for load in (lambda: loading.load(unasked.base, unasked), lambda: load_encoders(unasked, "cpu")):
        with pytest.raises(UserError, match=r"or set diffusion.widen=true to add them"):
            load()
    load_encoders(plain_painter, "cpu")


def weights_of(part: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in part.state_dict().items()}


@pytest.mark.parametrize("layout", ["fp16", "sharded", "sharded fp16", "PNDM"])
def test_layouts_in_which_models_are_published(tiny_painter: DiffusionConfig, tmp_path: Path, layout: str) -> None:
    base = Path(shutil.copytree(tiny_painter.base, tmp_path / "base"))
    plain = loading.load(tiny_painter.base, tiny_painter)
    for part, name in (("unet", WEIGHTS_NAME), ("vae", WEIGHTS_NAME), ("text_encoder", "model")):
        file = base / part / f"{name}.safetensors"
        state, variant = load_file(file), "fp16" if "fp16" in layout else None
        if variant:
            file.unlink()
            file = file.with_name(f"{name}.fp16.safetensors")
            save_file({key: value.half() for key, value in state.items()}, file, metadata={"format": "pt"})
        if "sharded" in layout:
            shard(file, name, variant)
    if layout == "PNDM":
        values = {
            "_class_name": "PNDMScheduler",
            "skip_prk_steps": True,
            "set_alpha_to_one": False,
            "clip_sample": False,
        }
        path = base / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    found = loading.load(str(base), tiny_painter)
    for part in ("unet", "vae", "text_encoder"):
        want, got = (
            weights_of({**plain.networks, "vae": plain.vae}[part]),
            weights_of({**found.networks, "vae": found.vae}[part]),
        )
        assert want.keys() == got.keys()
        for name, value in want.items():
            expected = value.half().float() if "fp16" in layout and "token_embedding" not in name else value
            torch.testing.assert_close(got[name], expected, rtol=0, atol=1e-3 if "token_embedding" in name else 0)
    assert torch.equal(plain.scheduler.sigmas, found.scheduler.sigmas)


def test_a_vae_whose_attention_has_its_first_names(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    """As Stable Diffusion 1.x is published."""
    base = Path(shutil.copytree(tiny_painter.base, tmp_path / "base"))
    shutil.rmtree(base / "vae")
    build_vae(scaling_factor=0.18, attention=True).save_pretrained(base / "vae")
    new = loading.load(str(base), tiny_painter).vae.state_dict()
    file = base / "vae" / f"{WEIGHTS_NAME}.safetensors"
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, value in load_file(file).items():
        part = next((part for part in first if f".{part}." in name), None)
        old[name.replace(part, first[part]) if part else name] = value
    assert len(old.keys() - new.keys()) == 2 * len(first) * 2  # weights and biases, of encoder and decoder
    save_file(old, file, metadata={"format": "pt"})
    found = loading.load(str(base), tiny_painter).vae.state_dict()
    assert found.keys() == new.keys() and all(torch.equal(found[name], value) for name, value in new.items())


def test_weights_that_lack_a_tensor_are_refused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_painter.base, tmp_path / "base"))
    for part, name, lost in (("unet", WEIGHTS_NAME, "mid_block"), ("text_encoder", "model", "final_layer_norm")):
        file = base / part / f"{name}.safetensors"
        whole = load_file(file)
        save_file({key: value for key, value in whole.items() if lost not in key}, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match=rf"{part}: the weights have no \S*{lost}.*more; fetch the model again"):
            loading.load(str(base), tiny_painter)
        save_file(whole, file, metadata={"format": "pt"})


def test_a_tokenizer_without_its_vocabulary_is_refused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_painter.base, tmp_path / "base"))
    (base / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer has neither tokenizer.json nor vocab.json with merges.txt"):
        loading.load(str(base), tiny_painter)


def test_weights_that_no_library_takes_are_one_line(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_painter.base, tmp_path / "base"))
    file = base / "text_encoder" / "model.safetensors"
    whole = load_file(file)
    name = next(name for name in whole if name.endswith("layers.0.mlp.fc1.weight"))
    save_file({**whole, name: torch.zeros(3, 3)}, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="text_encoder can't be loaded: "):
        loading.load(str(base), tiny_painter)


def test_the_links_of_a_hub_s_cache(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "0a1b"
    for number, file in enumerate(path for path in Path(tiny_painter.base).rglob("*") if path.is_file()):
        blob = tmp_path / str(number)
        shutil.copyfile(file, blob)
        link = snapshot / file.relative_to(tiny_painter.base)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    loading.load(str(snapshot), tiny_painter)
