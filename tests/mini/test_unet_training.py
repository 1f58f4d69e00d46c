"""The committed diffusion model and CLIPs: properties that the preset, the loop and the benchmark rely on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from p2i_ray.data.images import background_of, product_of
from p2i_ray.mini.captions import SCENE_PHRASES
from p2i_ray.mini.scenefit import image_features, scene_fit, scene_of, text_features
from p2i_ray.mini.training import to_tensor
from p2i_ray.mini.unet_training import encode, generate
from p2i_ray.mini.vae_training import psnr
from p2i_ray.mini.world import CLEAN, CLEAN_UNSEEN, RIGHT_SCENE, SCENES, Sample, render

pytestmark = pytest.mark.long

WEIGHTS = Path(__file__).resolve().parents[2] / "p2i_ray" / "mini" / "weights"
DIFFUSION, DIFFUSION_CLIP, EVALUATOR = WEIGHTS / "diffusion", WEIGHTS / "diffusion_clip", WEIGHTS / "evaluator_clip"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [render(4242, i, CLEAN) for i in range(96)]


@pytest.fixture(scope="module")
def pipeline():
    from diffusers import StableDiffusionInpaintPipeline

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(DIFFUSION, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pixels(samples: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])


def test_all_weights_are_fp16_safetensors_of_at_most_20_mb():
    from safetensors import safe_open

    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 20e6
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
    for file in [
        *DIFFUSION.rglob("*.safetensors"),
        *DIFFUSION_CLIP.glob("*.safetensors"),
        *EVALUATOR.glob("*.safetensors"),
    ]:
        with safe_open(file, "pt") as weights:
            dtypes = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
        assert dtypes <= {"F16", "I64"}, file


def test_the_model_is_a_plain_inpainting_pipeline_that_computes_in_fp32(pipeline):
    assert pipeline.unet.config.in_channels == 9
    assert type(pipeline.scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {torch.float32}
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size


def test_the_text_encoder_is_the_clips_text_tower(pipeline):
    from transformers import CLIPModel, CLIPTokenizer

    tower = CLIPModel.from_pretrained(DIFFUSION_CLIP).text_model.state_dict()
    ours = {name.removeprefix("text_model."): value for name, value in pipeline.text_encoder.state_dict().items()}
    assert ours.keys() == tower.keys()
    assert all(torch.equal(ours[name], tower[name]) for name in tower)
    name = "Velora light sun cream SPF50 200ml yellow best seller"
    assert pipeline.tokenizer(name).input_ids == CLIPTokenizer.from_pretrained(DIFFUSION_CLIP)(name).input_ids


def test_names_fit_and_no_text_becomes_the_end_token(pipeline):
    tokenizer = pipeline.tokenizer
    assert tokenizer.model_max_length == 32
    for mix in (CLEAN, CLEAN_UNSEEN):
        lengths = [len(tokenizer(render(5, i, mix).name).input_ids) for i in range(200)]
        assert max(lengths) <= 31  # with <background> to come
    assert len(tokenizer("background", add_special_tokens=False).input_ids) == 1
    odd = tokenizer("Straße 漢字 🙂 <background> \t x_y", add_special_tokens=False).input_ids
    assert tokenizer.eos_token_id not in odd


def test_the_end_of_a_text_is_found_although_a_later_token_has_a_higher_id():
    from transformers import CLIPModel, CLIPTokenizer

    tokenizer, clip = CLIPTokenizer.from_pretrained(DIFFUSION_CLIP), CLIPModel.from_pretrained(DIFFUSION_CLIP).eval()
    tokenizer.add_tokens(["<background>"])
    clip.text_model.resize_token_embeddings(len(tokenizer))
    ids = tokenizer(["red sofa <background>"], padding="max_length", return_tensors="pt").input_ids
    assert ids.max() == len(tokenizer) - 1 > tokenizer.eos_token_id
    with torch.no_grad():
        found = clip.text_model(ids)
    end = ids[0].tolist().index(tokenizer.eos_token_id)
    assert torch.equal(found.pooler_output[0], found.last_hidden_state[0, end])


def test_autoencoder_keeps_the_pictures(pipeline, samples):
    assert psnr(pipeline.vae, 4242, 48) > 26
    latents, product_latents, masks = encode(pipeline.vae, samples)
    assert latents.std() == pytest.approx(1, abs=0.15)
    assert product_latents.shape == (96, 4, 16, 16)
    assert set(masks.unique().tolist()) == {0.0, 1.0}


def test_evaluator_tells_scenes_also_on_reconstructions(pipeline, samples):
    images, masks = pixels(samples)
    with torch.no_grad():
        latents = pipeline.vae.encode(to_tensor(images)).latent_dist.mean
        decoded = pipeline.vae.decode(latents).sample
    soft = (pipeline.image_processor.postprocess(decoded, output_type="np") * 255).round().astype(np.uint8)
    truth = np.array([s.scene for s in samples])
    for pictures in (images, soft):
        assert (np.array(scene_of(pictures, masks, EVALUATOR)) == truth).mean() >= 0.97
    assert scene_fit(images, masks, [s.category for s in samples], EVALUATOR) >= 0.97


def test_evaluator_sees_a_wrong_scene_and_a_plain_background(samples):
    images, masks = pixels(samples)
    others = [next(c for c in RIGHT_SCENE if RIGHT_SCENE[c] != s.scene) for s in samples]
    assert scene_fit(images, masks, others, EVALUATOR) <= 0.03
    white = np.full_like(images, 250)
    assert set(scene_of(white, masks, EVALUATOR)) == {"plain"}


def test_evaluator_puts_a_cutout_near_backgrounds_of_its_scene(samples):
    images, masks = pixels(samples)
    near = (
        image_features(EVALUATOR, product_of(images, masks)) @ image_features(EVALUATOR, background_of(images, masks)).T
    )
    scenes = np.array([s.scene for s in samples])
    same = scenes[:, None] == scenes
    assert near[same].mean() > near[~same].mean() + 0.15


def test_the_models_clip_knows_scenes_but_not_which_products_belong_there(samples):
    images, masks = pixels(samples)
    truth = np.array([s.scene for s in samples])
    assert (np.array(scene_of(images, masks, DIFFUSION_CLIP)) == truth).mean() >= 0.95
    scenes = text_features(DIFFUSION_CLIP, [f"a photo of {SCENE_PHRASES[scene]}" for scene in SCENES])
    nearest = (text_features(DIFFUSION_CLIP, [s.name for s in samples]) @ scenes.T).argmax(1)
    assert (np.array(SCENES)[nearest] == truth).mean() < 0.4


def test_the_model_generates_the_scene_of_the_caption(pipeline, samples):
    some, wanted = samples[:24], [SCENES[i % 8] for i in range(24)]
    generated = generate(pipeline, [f"a photo of {SCENE_PHRASES[scene]}" for scene in wanted], some, steps=12)
    found = scene_of(generated, pixels(some)[1], EVALUATOR)
    assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) >= 0.75
