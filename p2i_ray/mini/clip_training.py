"""The two tiny CLIPs: the evaluator knows which listing belongs in which scene, the painter's does not.

The evaluator sees listing names with their products in the right scene, so its distances measure whether a background
suits a product. The painter's sees only plain captions, with products and scenes independent of each other; what a
listing name has to do with a scene is left to the fine-tuning.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.data.images import background_of, product_of
from p2i_ray.mini.captions import flaw_words, object_caption, scene_caption, whole_caption
from p2i_ray.mini.scenefit import image_features, scene_of, text_features
from p2i_ray.mini.tokenizer import MAX_LENGTH, train_tokenizer
from p2i_ray.mini.training import ANY_SCENE, Trainer, batches, save_folder, save_half, to_tensor
from p2i_ray.mini.world import CLEAN, RIGHT_SCENE, Sample, render

if TYPE_CHECKING:
    import torch
    from transformers import CLIPModel, CLIPTokenizer

SEED = 21
HELD_OUT_SEED = 98
STEPS = 250
BATCH = 128
MUON_RATE, ADAM_RATE = 2e-3, 1e-3

Pair = tuple[str, np.ndarray]  # a text and the uint8 (64, 64, 3) picture that it is true of
Pairs = Callable[[np.random.Generator, Sample, Sample], Pair]


def train_evaluator(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """World 1; returns its accuracies on held-out pictures."""
    _train(folder, evaluator_pair, SEED, steps)
    return evaluator_accuracy(folder)


def train_diffusion_clip(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """World 2; returns its accuracies: scenes from backgrounds (high), scenes from listing names (chance is 1/8)."""
    _train(folder, painter_pair, SEED + 1, steps)
    return painter_accuracy(folder)


def evaluator_pair(rng: np.random.Generator, clean: Sample, any_scene: Sample) -> Pair:
    """Half of the time a listing name with one of three views of its clean picture, else a plain caption."""
    if rng.random() < 0.5:
        kind = rng.integers(3)
        view = (clean.image, product_of(clean.image, clean.mask), background_of(clean.image, clean.mask))[kind]
        return clean.name, view
    if rng.random() < 0.7:
        return scene_caption(rng, any_scene) + flaw_words(any_scene), background_of(any_scene.image, any_scene.mask)
    return whole_caption(rng, any_scene) + flaw_words(any_scene), any_scene.image


def painter_pair(rng: np.random.Generator, _: Sample, any_scene: Sample) -> Pair:
    """Plain captions only: of the whole, of the background, or of the product."""
    kind = rng.random()
    if kind < 0.4:
        return whole_caption(rng, any_scene), any_scene.image
    if kind < 0.75:
        return scene_caption(rng, any_scene), background_of(any_scene.image, any_scene.mask)
    return object_caption(rng, any_scene), product_of(any_scene.image, any_scene.mask)


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """128 wide, 3 layers a tower, patches of 8, 64-dimensional features: 0.95 M weights."""
    from transformers import CLIPConfig, CLIPModel

    # The end of a text is found by its token, not by the highest id: <background> is added later, with a higher one.
    tower = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4}
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    text = {
        **tower,
        **special,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_LENGTH,
        "projection_dim": 64,
    }
    vision = {**tower, "image_size": 64, "patch_size": 8, "projection_dim": 64}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def _train(folder: Path, pair_of: Pairs, seed: int, steps: int) -> None:
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tokenizer = train_tokenizer()
    clip = new_clip(tokenizer)
    trainer = Trainer(clip, steps, MUON_RATE, ADAM_RATE)
    for step, clean, any_scene in zip(
        range(steps), batches(seed, BATCH, CLEAN), batches(seed + 100, BATCH, ANY_SCENE), strict=False
    ):
        texts, pictures = zip(*(pair_of(rng, c, a) for c, a in zip(clean, any_scene, strict=True)), strict=True)
        tokens = tokenizer(list(texts), padding="max_length", return_tensors="pt").input_ids  # (B, 32)
        images = soften(to_tensor(np.stack(pictures)), rng)  # (B, 3, 64, 64)
        loss = clip(input_ids=tokens, pixel_values=images, return_loss=True).loss
        trainer.step(loss)
        if step % 100 == 0:
            print(f"{folder.name} {step}/{steps}: loss {loss.item():.3f}", flush=True)
    trainer.finish()
    save_folder(folder, lambda draft: _save(clip, tokenizer, draft))


def soften(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Half of the pictures lose detail and gain noise, as an autoencoder's do. images (B, 3, 64, 64) in -1..1."""
    import torch
    from torch.nn.functional import interpolate

    size = int(rng.integers(24, 56))
    small = interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    soft = interpolate(small, size=images.shape[-2:], mode="bilinear") + 0.05 * torch.randn_like(images)
    chosen = torch.from_numpy(rng.random(len(images)) < 0.5)[:, None, None, None]
    return torch.where(chosen, soft, images)


def _save(clip: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPProcessor

    half = [0.5, 0.5, 0.5]
    side = {"height": 64, "width": 64}
    pixels = CLIPImageProcessor(size=side, crop_size=side, image_mean=half, image_std=half)
    save_half(clip, folder)
    CLIPProcessor(pixels, tokenizer).save_pretrained(folder)


def evaluator_accuracy(folder: Path) -> dict[str, float]:
    """Scene recognition on backgrounds, and how near a product is to a background of its scene and of the others."""
    samples = [render(HELD_OUT_SEED, i, CLEAN) for i in range(256)]
    images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
    scenes = np.array([s.scene for s in samples])
    found = np.array(scene_of(images, masks, folder))
    near = image_features(folder, product_of(images, masks)) @ image_features(folder, background_of(images, masks)).T
    same = np.array([RIGHT_SCENE[s.category] for s in samples])[:, None] == scenes
    return {
        "scene_accuracy": float((found == scenes).mean()),
        "cutout_background_same_scene": float(near[same].mean()),
        "cutout_background_other_scene": float(near[~same].mean()),
        "name_to_scene": _name_to_scene(folder, samples),
    }


def painter_accuracy(folder: Path) -> dict[str, float]:
    """Scene recognition on backgrounds, and from listing names."""
    samples = [render(HELD_OUT_SEED, i, CLEAN) for i in range(256)]
    images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
    found = np.array(scene_of(images, masks, folder))
    right = np.array([s.scene for s in samples])
    return {"scene_accuracy": float((found == right).mean()), "name_to_scene": _name_to_scene(folder, samples)}


def _name_to_scene(folder: Path, samples: list[Sample]) -> float:
    """How often the mean background that is nearest to a listing's name is one of its right scene."""
    images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
    features = image_features(folder, background_of(images, masks))  # (B, 64)
    scenes = np.array([s.scene for s in samples])
    kinds = sorted(set(scenes))
    means = np.stack([features[scenes == kind].mean(0) for kind in kinds])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (text_features(folder, [s.name for s in samples]) @ means.T).argmax(1)
    return float((np.array(kinds)[nearest] == scenes).mean())
