"""Captions for the tiny CLIPs and the tiny diffusion model: plain words for the pictures of the toy world.

The nouns give no product's scene away ("a bottle", not "sunscreen"; "mountains", not "snow"): after its pre-training
the diffusion model can draw a beach, but doesn't know which products belong there.
"""

from __future__ import annotations

import numpy as np

from p2i_ray.mini.names import COLOURS
from p2i_ray.mini.world import PLAIN, RIGHT_SCENE, Sample

SCENE_PHRASES: dict[str, str] = {
    "beach": "a beach",
    "kitchen": "a kitchen",
    "bathroom": "a bathroom",
    "classroom": "a classroom",
    "forest": "a forest",
    "living room": "a living room",
    "stadium": "a stadium",
    "snow": "mountains",
    PLAIN: "a plain wall",
}
OBJECTS: dict[str, str] = {
    "sunscreen": "bottle",
    "dish soap": "bottle",
    "shampoo": "bottle",
    "school bag": "bag",
    "trekking backpack": "bag",
    "running shoe": "shoe",
    "snow boot": "shoe",
    "tent": "tent",
    "fridge": "fridge",
    "sofa": "sofa",
    "floor lamp": "lamp",
    "surfboard": "surfboard",
}
SCENE_TEMPLATES = ("{}", "a photo of {}", "{} background", "a photo of {} in the background")
OBJECT_TEMPLATES = ("{}", "a photo of {}", "a picture of {}")
WHOLE_TEMPLATES = ("{}, {} background", "{} with {} background", "{} in front of {}", "a photo of {}, {}", "{} at {}")
FLAW_WORDS = {"text overlay": "with text", "clutter": "with clutter", "blur": "blurred"}


def scene_caption(rng: np.random.Generator, sample: Sample) -> str:
    """The scene alone: "a photo of a beach", "a kitchen background"."""
    return _one_of(rng, SCENE_TEMPLATES).format(SCENE_PHRASES[sample.scene])


def object_caption(rng: np.random.Generator, sample: Sample) -> str:
    """The product alone, by its shape: "a photo of a red bottle"."""
    return _one_of(rng, OBJECT_TEMPLATES).format(_object_phrase(rng, sample))


def whole_caption(rng: np.random.Generator, sample: Sample) -> str:
    """The product and the scene: "a red bottle, a beach background"."""
    return _one_of(rng, WHOLE_TEMPLATES).format(_object_phrase(rng, sample), SCENE_PHRASES[sample.scene])


def flaw_words(sample: Sample) -> str:
    """Words for the visible flaws, such as " with text, blurred"; empty for a picture without any."""
    seen = [words for flaw, words in FLAW_WORDS.items() if flaw in sample.flaws]
    return " " + ", ".join(seen) if seen else ""


def scene_prompts() -> dict[str, list[str]]:
    """Every scene (and the plain background) in every template, for zero-shot recognition."""
    return {scene: [t.format(phrase) for t in SCENE_TEMPLATES] for scene, phrase in SCENE_PHRASES.items()}


def scene_fit_file() -> dict[str, dict[str, list[str]]]:
    """The content of mini/scenes.yaml, by which an evaluation measures scene_fit."""
    return {"scenes": scene_prompts(), "suits": {category: [scene] for category, scene in RIGHT_SCENE.items()}}


def _object_phrase(rng: np.random.Generator, sample: Sample) -> str:
    colour = next(word for word in sample.name.split() if word in COLOURS)
    noun = OBJECTS[sample.category]
    return f"a {colour} {noun}" if rng.random() < 0.6 else f"a {noun}"


def _one_of(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


assert set(OBJECTS) == set(RIGHT_SCENE)
