"""The two tiny CLIPs: the evaluator knows which listing belongs in which scene, the diffusion model's does not.

The evaluator is trained on listing names with their products in the right scene, so its distances measure whether a
background suits a product. The diffusion model's is trained on plain captions alone, with products and scenes
independent; it learns the scenes of listing names in the fine-tuning.
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

Pair = tuple[str, np.ndarray]  # a text and the picture that it describes, uint8 (64, 64, 3)
Pairs = Callable[[np.random.Generator, Sample, Sample], Pair]


def train_evaluator(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train the evaluator's CLIP, and return its accuracies on held-out pictures."""
    _train(folder, evaluator_pair, SEED, steps)
    return evaluator_accuracy(folder)


def train_diffusion_clip(folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train the diffusion model's CLIP, and return its accuracies: scenes from backgrounds, and from listing names."""
    _train(folder, diffusion_pair, SEED + 1, steps)
    return diffusion_clip_accuracy(folder)


def evaluator_pair(rng: np.random.Generator, clean: Sample, any_scene: Sample) -> Pair:
    """Half of the time a listing name with one of three views of its clean picture, else a plain caption."""
    if rng.random() < 0.5:
        kind = rng.integers(3)
        view = (clean.image, product_of(clean.image, clean.mask), background_of(clean.image, clean.mask))[kind]
        return clean.name, view
    if rng.random() < 0.7:
        return scene_caption(rng, any_scene) + flaw_words(any_scene), background_of(any_scene.image, any_scene.mask)
    return whole_caption(rng, any_scene) + flaw_words(any_scene), any_scene.image


def diffusion_pair(rng: np.random.Generator, _: Sample, any_scene: Sample) -> Pair:
    """A plain caption of the whole picture, of the background, or of the product."""
    kind = rng.random()
    if kind < 0.4:
        return whole_caption(rng, any_scene), any_scene.image
    if kind < 0.75:
        return scene_caption(rng, any_scene), background_of(any_scene.image, any_scene.mask)
    return object_caption(rng, any_scene), product_of(any_scene.image, any_scene.mask)


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Make a CLIP of 0.95 M weights: 128 wide, 3 layers a tower, patches of 8 pixels, 64-dimensional features."""
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
    trainer = Trainer(clip, steps, muon_rate=MUON_RATE, adam_rate=ADAM_RATE)
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
    """Blur half of the pictures and add noise, as an autoencoder does. images (B, 3, 64, 64) in -1..1."""
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
    processor = CLIPProcessor(pixels, tokenizer)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)


def evaluator_accuracy(folder: Path) -> dict[str, float]:
    """Scene recognition on backgrounds, and similarity of a product to backgrounds of its scene and of others."""
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


def diffusion_clip_accuracy(folder: Path) -> dict[str, float]:
    """Scene recognition on backgrounds, and from listing names."""
    samples = [render(HELD_OUT_SEED, i, CLEAN) for i in range(256)]
    images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
    found = np.array(scene_of(images, masks, folder))
    right = np.array([s.scene for s in samples])
    return {"scene_accuracy": float((found == right).mean()), "name_to_scene": _name_to_scene(folder, samples)}


def _name_to_scene(folder: Path, samples: list[Sample]) -> float:
    """Rate at which the mean background nearest to a listing's name is that of the right scene."""
    images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
    features = image_features(folder, background_of(images, masks))  # (B, 64)
    scenes = np.array([s.scene for s in samples])
    kinds = sorted(set(scenes))
    means = np.stack([features[scenes == kind].mean(0) for kind in kinds])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (text_features(folder, [s.name for s in samples]) @ means.T).argmax(1)
    return float((np.array(kinds)[nearest] == scenes).mean())
