"""Train the classifier of brand styles: `python -m p2i_ray.mini.style_training` (about two minutes)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from p2i_ray.mini import style_classifier, styles
from p2i_ray.mini.judge_softness import Softener
from p2i_ray.mini.style_classifier import CLASSES, NONE, StyleClassifier
from p2i_ray.mini.training import Trainer, save_folder
from p2i_ray.mini.world import CATEGORIES, SCENES, FlawMix, Sample, render

VAE = Path(__file__).parent / "weights" / "diffusion" / "vae"
SEED = 31
HELD_OUT_SEED = 97
STEPS = 200
BATCH = 48
MUON_RATE, ADAM_RATE = 4e-3, 2e-3
SOFT_SHARE = 0.25  # of the pictures, sent through the autoencoder, most with noise on their latents
ANY_SCENE = FlawMix(wrong_scene=7 / 8)  # scene and category are independent, so that neither tells the other
PARTIAL: tuple[tuple[tuple[str, ...], float], ...] = (  # what a style is drawn with, and in which share of the pictures
    (styles.PARTS, 0.6),
    (("palette", "light", "layout"), 0.15),
    (("palette",), 0.15),
    (("light", "motif", "layout"), 0.1),
)


def train(folder: Path, *, steps: int = STEPS, vae: Path = VAE) -> None:
    """Train on pictures drawn afresh in every step, and save in fp16.

    Args:
        folder: to write.
        steps: of so many pictures each as BATCH says.
        vae: the autoencoder that softens some of the pictures.
    """
    import torch
    from torch.nn import functional

    torch.manual_seed(SEED)
    network, soften = style_classifier.new_network(), Softener(vae, SEED, SOFT_SHARE)
    trainer = Trainer(network, steps, muon_rate=MUON_RATE, adam_rate=ADAM_RATE, decay=0.98)
    for step in range(steps):
        drawn = [draw(SEED, step * BATCH + place) for place in range(BATCH)]
        samples = [sample for sample, _ in drawn]
        given = style_classifier.as_input(soften(samples, step), np.stack([sample.mask for sample in samples]))
        style, scene = network(given).split((len(CLASSES), len(SCENES)), dim=1)
        wanted = torch.tensor([CLASSES.index(name) for _, name in drawn])
        wanted_scene = torch.tensor([SCENES.index(sample.scene) for sample in samples])
        loss = functional.cross_entropy(style, wanted) + 0.5 * functional.cross_entropy(scene, wanted_scene)
        trainer.step(loss)
        if step % 25 == 0:
            print(f"styles {step}/{steps}: loss {loss.item():.3f}", flush=True)
    trainer.finish()
    save_folder(folder, lambda draft: style_classifier.save(network, draft))


def draw(seed: int, index: int) -> tuple[Sample, str]:
    """Picture number `index`, in any scene, and its style or NONE: in turn, each as often."""
    style = CLASSES[index % len(CLASSES)]
    if style == NONE:
        return render(seed, index, ANY_SCENE), NONE
    shares = [share for _, share in PARTIAL]
    parts, _ = PARTIAL[int(np.random.default_rng([seed, index, 5]).choice(len(PARTIAL), p=shares))]
    return styles.render(seed, index, style, mix=ANY_SCENE, parts=parts), style


def accuracy(
    classifier: StyleClassifier, *, vae: Path = VAE, count: int = 528, seed: int = HELD_OUT_SEED
) -> dict[str, float]:
    """The share of held-out pictures that are recognised, 0..1.

    Args:
        classifier: to check.
        vae: for the reconstructions.
        count: of pictures, in all classes in turn.
        seed: of their world.

    Returns:
        "style" of sharp pictures and "style, reconstructed"; the worst category of both as "…, worst category"; the
        same for "scene"; and "style" of sharp pictures with parts of a style alone: "without motif", "without palette"
        and "palette alone" (NONE is left out of these).
    """
    classes = [CLASSES[index % len(CLASSES)] for index in range(count)]
    whole = _drawn(seed, classes, styles.PARTS)
    soft = Softener(vae, seed, share=1)(whole, 0)
    found: dict[str, float] = {}
    masks, categories = np.stack([s.mask for s in whole]), np.array([s.category for s in whole])
    for suffix, images in (("", np.stack([s.image for s in whole])), (", reconstructed", soft)):
        right = np.array(classifier.styles_of(images, masks)) == classes
        found[f"style{suffix}"] = float(right.mean())
        found[f"style{suffix}, worst category"] = min(float(right[categories == c].mean()) for c in CATEGORIES)
        found[f"scene{suffix}"] = float(
            np.mean([a == s.scene for a, s in zip(classifier.scenes_of(images, masks), whole, strict=True)])
        )
    styled = [name for name in classes if name != NONE]
    for (parts, _), name in zip(PARTIAL[1:], ("without motif", "palette alone", "without palette"), strict=True):
        samples = _drawn(seed + 1, styled, parts)
        images, masks = np.stack([s.image for s in samples]), np.stack([s.mask for s in samples])
        found[f"style, {name}"] = float(np.mean(np.array(classifier.styles_of(images, masks)) == styled))
    return found


def _drawn(seed: int, classes: Sequence[str], parts: Sequence[str]) -> list[Sample]:
    return [
        render(seed, index, ANY_SCENE)
        if style == NONE
        else styles.render(seed, index, style, mix=ANY_SCENE, parts=parts)
        for index, style in enumerate(classes)
    ]


def main() -> None:
    """Train the classifier, and print its accuracies and times."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=style_classifier.FOLDER, help="folder to write; it is replaced")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start, busy = time.monotonic(), time.process_time()
    train(arguments.out, steps=arguments.steps)
    for name, value in accuracy(style_classifier.load(arguments.out)).items():
        print(f"{name}: {value:.3f}")
    print(f"{(time.monotonic() - start) / 60:.1f} minutes, {(time.process_time() - busy) / 60:.1f} CPU minutes")


if __name__ == "__main__":
    main()
