"""What is wrong with a model folder, in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig, ImageConfig, TrainConfig
from p2i_ray.diffusion.backbones.families import STABLE_DIFFUSION_XL
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.errors import UserError
from tests.support.tiny_xl import XlModels


@pytest.fixture
def broken(tiny_painter: DiffusionConfig, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_painter.base, tmp_path / "model"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_good_folders_pass(tiny_painter: DiffusionConfig) -> None:
    validation.check_model(tiny_painter.base, ImageConfig(resolution=32))
    training_checks.check_clip(tiny_painter.clip, tiny_painter.base)


def test_missing_folder() -> None:
    with pytest.raises(UserError, match=r"model folder /nowhere is not there"):
        validation.check_model("/nowhere")


def test_missing_part(broken: Path) -> None:
    shutil.rmtree(broken / "tokenizer")
    with pytest.raises(UserError, match=r"has no tokenizer/"):
        validation.check_model(str(broken))


def test_pickled_weights_are_refused(broken: Path) -> None:
    (broken / "unet" / "diffusion_pytorch_model.safetensors").rename(broken / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights only"):
        validation.check_model(str(broken))


def test_missing_weights(broken: Path) -> None:
    (broken / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"vae has no \*.safetensors"):
        validation.check_model(str(broken))


def test_plain_model_is_offered_to_be_widened(tiny_painter: DiffusionConfig, plain_painter: DiffusionConfig) -> None:
    plain = plain_painter.base
    with pytest.raises(UserError, match=r"4 input channels, not 9; give .*, or set diffusion.widen=true to add them"):
        validation.check_model(plain)
    assert validation.is_plain(plain) and not validation.is_plain(tiny_painter.base)
    for location in (plain, tiny_painter.base):
        validation.check_model(location, ImageConfig(resolution=32), widen=True)


@pytest.mark.parametrize("widen", [False, True])
def test_unet_of_another_kind(broken: Path, widen: bool) -> None:
    change(broken / "unet" / "config.json", in_channels=8)
    with pytest.raises(UserError, match=r"8 input channels, not 9; give an inpainting model \([^()]*\)$"):
        validation.check_model(str(broken), widen=widen)


def test_lora_does_not_train_what_is_added(tiny_painter: DiffusionConfig, plain_painter: DiffusionConfig) -> None:
    diffusion, lora = tiny_painter.model_copy(update={"widen": True}), TrainConfig(lora_rank=4)
    training_checks.check_training(tiny_painter.base, diffusion, lora)
    plain, diffusion = plain_painter.base, plain_painter
    training_checks.check_training(plain, diffusion, TrainConfig())
    with pytest.raises(UserError, match=r"train.lora_rank=4 can't train what diffusion.widen=true adds"):
        training_checks.check_training(plain, diffusion, lora)


def test_text_encoder_of_another_width(broken: Path) -> None:
    change(broken / "text_encoder" / "config.json", hidden_size=32)
    with pytest.raises(UserError, match="reads text 16 wide, the text encoder's is 32"):
        validation.check_model(str(broken))


def test_model_that_predicts_velocity(broken: Path) -> None:
    change(broken / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    with pytest.raises(UserError, match="predicts v_prediction"):
        validation.check_model(str(broken))


def test_resolution_that_is_no_multiple(tiny_painter: DiffusionConfig) -> None:
    with pytest.raises(UserError, match=r"image.resolution=40 must be a multiple of 16"):
        validation.check_sizes(ImageConfig(resolution=40), 16, "models/base")
    with pytest.raises(UserError, match=r"image.size_step=40 must be a multiple of 16"):
        validation.check_sizes(ImageConfig(aspect_ratios=("1:1", "4:5"), size_step=40), 16, "models/base")


def test_clip_of_another_width(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    clip = Path(shutil.copytree(tiny_painter.clip, tmp_path / "clip"))
    config = json.loads((clip / "config.json").read_text())
    config["text_config"]["hidden_size"] = 24
    (clip / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="text tower 24 wide"):
        training_checks.check_clip(str(clip), tiny_painter.base)


def test_other_kinds_of_model(broken: Path, tmp_path: Path) -> None:
    change(broken / "model_index.json", _class_name="StableDiffusion3Pipeline")
    line = "is a StableDiffusion3Pipeline; give the folder of a Stable Diffusion 1.x or 2.x or XL inpainting model"
    with pytest.raises(UserError, match=line):
        validation.check_model(str(broken))
    change(broken / "model_index.json", _class_name="StableDiffusionXLInpaintPipeline")
    with pytest.raises(UserError, match="model has no text_encoder_2/; give the diffusers folder"):
        validation.check_model(str(broken))
    lora = tmp_path / "lora"
    lora.mkdir()
    (lora / "pytorch_lora_weights.safetensors").touch()
    for location in (lora, lora / "pytorch_lora_weights.safetensors"):
        with pytest.raises(UserError, match="a LoRA, no model; give the folder of the model that it was trained on"):
            validation.check_model(str(location))
    (lora / "pytorch_lora_weights.safetensors").unlink()
    save_file({"lora_unet_mid_block_attn1_to_q.lora_down.weight": torch.zeros(2, 4)}, lora / "shop.safetensors")
    for location in (lora, lora / "shop.safetensors"):
        with pytest.raises(UserError, match="a LoRA, no model; give the folder of the model that it was trained on"):
            validation.check_model(str(location))
    (tmp_path / "models--shop--painter" / "snapshots" / "b261").mkdir(parents=True)
    with pytest.raises(UserError, match=r"of the hub's cache; give \S+/models--shop--painter/snapshots/COMMIT"):
        validation.check_model(f"{tmp_path}/models--shop--painter/")
    (tmp_path / "dreamshop.safetensors").touch()
    with pytest.raises(UserError, match=r"is a single file; make a folder of it: python jobs/convert.py in="):
        validation.check_model(str(tmp_path / "dreamshop.safetensors"))


def test_a_lora_beside_a_model_without_its_index_does_no_harm(broken: Path) -> None:
    (broken / "model_index.json").unlink()
    save_file({"lora_unet_mid_block_attn1_to_q.lora_down.weight": torch.zeros(2, 4)}, broken / "shop.safetensors")
    validation.check_model(str(broken))


def test_a_text_encoder_that_was_saved_with_its_lora_loaded(broken: Path) -> None:
    for file in (broken / "text_encoder").iterdir():
        file.unlink()
    (broken / "text_encoder" / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(UserError, match=r"text_encoder has a LoRA alone .*; merge it: in diffusers fuse_lora\(\)"):
        validation.check_model(str(broken))


def test_models_for_few_steps(broken: Path) -> None:
    turbo = broken.rename(broken.with_name("SD-Turbo"))
    with pytest.raises(UserError, match=r"is called turbo: a model for a few steps .* or rename the folder"):
        validation.check_model(str(turbo))
    cached = turbo.with_name("models--stabilityai--sd-turbo") / "snapshots" / "b261bac6fd2cf515557d5d0707481eafa0485ec2"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(turbo)
    with pytest.raises(UserError, match=r"is called turbo: a model for a few steps"):
        validation.check_model(str(cached))
    plain = turbo.rename(turbo.with_name("shop"))
    change(plain / "unet" / "config.json", time_cond_proj_dim=256)
    with pytest.raises(UserError, match="has time_cond_proj_dim, as consistency models have"):
        validation.check_model(str(plain))
    change(plain / "unet" / "config.json", time_cond_proj_dim=None, _name_or_path="ByteDance/SDXL-Lightning")
    line = r"was made of ByteDance/SDXL-Lightning: .* or take _name_or_path out of unet/config.json"
    with pytest.raises(UserError, match=line):
        validation.check_model(str(plain))


@pytest.mark.parametrize(
    "origin",
    [
        "/hub/models--ByteDance--SDXL-Lightning/snapshots/c9a24f48e1c025556787b0c58dd67a091ece2e44/unet",
        "/models/sdxl-turbo/unet/",
        r"C:\models\sdxl-turbo\unet",
        "latent-consistency/lcm-sdxl",
    ],
)
def test_a_model_made_of_one_for_few_steps(broken: Path, origin: str) -> None:
    change(broken / "unet" / "config.json", _name_or_path=origin)
    with pytest.raises(UserError, match=r"was made of .*: a model for a few steps"):
        validation.check_model(str(broken))


@pytest.mark.parametrize("origin", ["lightning_logs/version_3", "/turbo/models/sd-inpainting/unet", "unet", "/"])
def test_folders_around_a_model_say_nothing_of_its_steps(broken: Path, origin: str) -> None:
    change(broken / "unet" / "config.json", _name_or_path=origin)
    validation.check_model(str(broken))


def test_a_model_that_was_trained_here_is_called_as_people_like(broken: Path) -> None:
    named = broken.rename(broken.with_name("turbochargers"))
    with pytest.raises(UserError, match="is called turbo"):
        validation.check_model(str(named))
    (named / validation.RECORD).write_text("{}", "utf-8")
    validation.check_model(str(named))


@pytest.mark.parametrize(
    ("file", "values", "line"),
    [
        ("vae/config.json", {"latent_channels": 16}, "vae has latent_channels=16, not 4; give a Stable Diffusion 1.x"),
        ("unet/config.json", {"out_channels": 8}, "unet has out_channels=8, not 4"),
        ("unet/config.json", {"num_class_embeds": 1000}, "unet has num_class_embeds=1000: it must be told more than"),
        ("unet/config.json", {"encoder_hid_dim_type": "ip_image_proj"}, "unet has encoder_hid_dim_type=ip_image_proj"),
    ],
)
def test_parts_that_no_pipeline_here_takes(broken: Path, file: str, values: dict[str, Any], line: str) -> None:
    change(broken / file, **values)
    with pytest.raises(UserError, match=line):
        validation.check_model(str(broken))


def test_parts_of_another_kind(broken: Path) -> None:
    change(broken / "unet" / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(UserError, match="has quantization_config; give weights as F32, F16 or BF16"):
        validation.check_model(str(broken))
    change(broken / "vae" / "config.json", _class_name="AsymmetricAutoencoderKL")
    with pytest.raises(UserError, match="vae is a AsymmetricAutoencoderKL, not a AutoencoderKL"):
        validation.check_model(str(broken))


def test_what_is_no_clip(tiny_painter: DiffusionConfig) -> None:
    with pytest.raises(
        UserError, match=r"text_encoder/config.json, of a clip_text_model, lacks text_config or vision_config"
    ):
        training_checks.check_clip(f"{tiny_painter.base}/text_encoder", tiny_painter.base)


def test_a_clip_without_a_text_tower_s_settings(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    clip = Path(shutil.copytree(tiny_painter.clip, tmp_path / "clip"))
    change(clip / "config.json", text_config=None)
    with pytest.raises(UserError, match=r"config.json, of a clip, lacks text_config or vision_config"):
        training_checks.check_clip(str(clip), tiny_painter.base)


def test_half_a_download(broken: Path) -> None:
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"diffusion_pytorch_model.safetensors is cut short: \d+ of \d+ bytes"):
        validation.check_model(str(broken))


def test_prompts_other_than_those_of_the_training(broken: Path, tiny_painter: DiffusionConfig) -> None:
    validation.check_prompt(str(broken), tiny_painter)
    record = broken / "training.json"
    record.write_text(json.dumps({"diffusion": {"token": "<background>"}}))  # as versions before the template wrote it
    validation.check_prompt(str(broken), tiny_painter)
    with pytest.raises(UserError, match=r"was trained with diffusion.token=<background>, not null; set it so"):
        validation.check_prompt(str(broken), tiny_painter.model_copy(update={"token": None}))
    with pytest.raises(UserError, match=r"was trained with diffusion.prompt=\{name\}, not \{name\}, sharp"):
        validation.check_prompt(str(broken), tiny_painter.model_copy(update={"prompt": "{name}, sharp"}))


@pytest.fixture
def broken_xl(xl_models: XlModels, tmp_path: Path) -> Path:
    return Path(shutil.copytree(xl_models.base, tmp_path / "model"))


def test_a_good_xl_passes_with_or_without_its_index(broken_xl: Path, xl_models: XlModels) -> None:
    validation.check_model(str(broken_xl), ImageConfig(resolution=32))
    (broken_xl / "model_index.json").unlink()
    assert validation.family_of(str(broken_xl)) is STABLE_DIFFUSION_XL
    validation.check_model(str(broken_xl), ImageConfig(resolution=32))
    for place in (0, 1):
        training_checks.check_clip(str(xl_models.clips[place]), str(broken_xl))
        assert training_checks.aligned_encoder(str(xl_models.clips[place]), str(broken_xl)) == place


@pytest.mark.parametrize(
    ("file", "values", "line"),
    [
        ("model_index.json", {"requires_aesthetics_score": True}, "is a refiner, which goes over what another model"),
        (
            "unet/config.json",
            {"cross_attention_dim": 24},
            "reads text 24 wide, the text encoders' .* together 40",
        ),
        (
            "unet/config.json",
            {"projection_class_embeddings_input_dim": 28},
            "takes 28 numbers .* not the 32 of a pooled",
        ),
        ("unet/config.json", {"addition_embed_type": None}, "addition_embed_type=None, not text_time; .* no refiner"),
        ("vae/config.json", {"latents_mean": [0.0] * 4}, "vae has latents_mean or latents_std"),
        ("text_encoder_2/config.json", {"projection_dim": 9}, "not the 33 of a pooled text"),
        ("text_encoder_2/config.json", {"num_hidden_layers": 3}, "have 2 text layers, and config.json says"),
        ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, "predicts v_prediction, not noise"),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "is a FlowMatchEulerDiscreteScheduler: the model was trained on other noise",
        ),
        ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"}, "trained on other noise than Eq. 1"),
        ("scheduler/scheduler_config.json", {"_class_name": "LCMScheduler"}, "is LCMScheduler, as models for a few"),
    ],
)
def test_an_xl_that_can_t_be_used(broken_xl: Path, file: str, values: dict[str, Any], line: str) -> None:
    change(broken_xl / file, **values)
    with pytest.raises(UserError, match=line):
        validation.check_model(str(broken_xl))


def test_a_second_text_encoder_without_its_projection(broken_xl: Path) -> None:
    """As of a CLIPTextModel, whose width fits."""
    weights = broken_xl / "text_encoder_2" / "model.safetensors"
    tensors = load_file(weights)
    del tensors["text_projection.weight"]
    save_file(tensors, weights)
    change(broken_xl / "text_encoder_2" / "config.json", architectures=["CLIPTextModel"])
    with pytest.raises(UserError, match=r"no text_projection.weight, .* Stable Diffusion XL .* CLIPTextModelWithProj"):
        validation.check_model(str(broken_xl))


def test_an_index_that_names_no_pipeline_leaves_it_to_the_parts(broken_xl: Path) -> None:
    change(broken_xl / "model_index.json", _class_name=None)
    validation.check_model(str(broken_xl))
    assert validation.family_of(str(broken_xl)) is STABLE_DIFFUSION_XL


def test_parts_of_an_xl_that_are_not_there(broken_xl: Path, tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    clip = Path(shutil.copytree(tiny_painter.clip, tmp_path / "clip"))
    change(clip / "config.json", text_config={"hidden_size": 20})
    with pytest.raises(UserError, match=r"20 wide, the text encoders of .* are 16 and 24 wide; .* a text encoder was"):
        training_checks.check_clip(str(clip), str(broken_xl))
    shutil.rmtree(broken_xl / "tokenizer_2")
    with pytest.raises(UserError, match="has no tokenizer_2/"):
        validation.check_model(str(broken_xl))
