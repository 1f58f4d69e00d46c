"""Recognise the brand style of a background, and its scene: a small convolutional network for measuring alone.

It sees the background, the product's place greyed out, and is held out: no model that paints learns from it. It learned
from whole styles and from styles without motif or without palette, sharp and through the autoencoder, so that half a
style and soft pictures are recognised too; and from scenes without a style, which are the class NONE.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2i_ray.data.images import GREY
from p2i_ray.errors import UserError
from p2i_ray.mini.styles import STYLES
from p2i_ray.mini.world import SCENES

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent / "weights" / "style_classifier"
WEIGHTS = "model.safetensors"
NONE = "none"  # a background without a style
CLASSES: tuple[str, ...] = (*STYLES, NONE)
CHANNELS = (24, 40, 56, 72)
BATCH = 128
# Of the weights' file; one entry, because safetensors writes several in any order.
_LABELS = {"classes": json.dumps({"styles": CLASSES, "scenes": SCENES})}


class StyleClassifier:
    """The network with its weights, for measuring.

    Args:
        network: of `new_network`.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network

    def predict(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Recognise the style of each background.

        Args:
            images: uint8 (B, 64, 64, 3).
            masks: uint8 (B, 64, 64), 255 where the product is; it is not looked at.

        Returns:
            Probabilities (B, S) in the order of `CLASSES`, each row's sum 1.
        """
        return self._probabilities(images, masks)[:, : len(CLASSES)]

    def styles_of(self, images: np.ndarray, masks: np.ndarray) -> list[str]:
        """The most probable of `CLASSES` for each background; arguments as in `predict`."""
        return [CLASSES[place] for place in self.predict(images, masks).argmax(1)]

    def scenes_of(self, images: np.ndarray, masks: np.ndarray) -> list[str]:
        """The most probable of the world's SCENES, whatever the style; arguments as in `predict`."""
        return [SCENES[place] for place in self._probabilities(images, masks)[:, len(CLASSES) :].argmax(1)]

    def _probabilities(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Those of the styles and, after them, of the scenes."""
        import torch

        found = [np.empty((0, len(CLASSES) + len(SCENES)), np.float32)]
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                part = slice(start, start + BATCH)
                heads = self._network(as_input(images[part], masks[part])).split((len(CLASSES), len(SCENES)), dim=1)
                found.append(torch.cat([head.softmax(1) for head in heads], 1).numpy())
        return np.concatenate(found)


def new_network() -> torch.nn.Module:
    """The network, untrained: (B, 4, 64, 64) as `as_input` makes it -> logits (B, styles + scenes)."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in zip((4, *CHANNELS[:-1]), CHANNELS, strict=True):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
    # Where a motif lies is part of a style, so the last 4 x 4 cells are told apart.
    head = [nn.Conv2d(CHANNELS[-1], 24, 1), nn.SiLU(), nn.Flatten(), nn.Linear(24 * 16, len(CLASSES) + len(SCENES))]
    return nn.Sequential(*layers, *head)


def as_input(images: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    """The network's input: colours -1..1 (three channels), and the background (the fourth, 0 or 1).

    The product's place grows by a pixel first: what is painted there at its edges is no background.

    Args:
        images: uint8 (B, 64, 64, 3).
        masks: uint8 (B, 64, 64).

    Returns:
        (B, 4, 64, 64).
    """
    import torch
    from torch.nn import functional

    product = torch.from_numpy((masks >= 128).astype(np.float32))[:, None]
    product = functional.max_pool2d(product, 3, stride=1, padding=1)  # (B, 1, 64, 64)
    colours = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    background = torch.where(product > 0, torch.tensor(float(GREY)), colours) / 127.5 - 1
    return torch.cat([background, 1 - product], 1)


def save(network: torch.nn.Module, folder: Path) -> None:
    """Write the weights in fp16, with the names of styles and scenes."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    save_file(halves, folder / WEIGHTS, metadata=_LABELS)


@lru_cache(maxsize=2)
def load(folder: Path = FOLDER) -> StyleClassifier:
    """Open a classifier that was saved.

    Args:
        folder: of its weights; without it, those that come with the package.

    Raises:
        UserError: there is none, or it knows other styles.
    """
    from safetensors import safe_open

    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has no {WEIGHTS}; make it with python -m p2i_ray.mini.style_training --out {folder}")
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        if file.metadata() != _LABELS:
            raise UserError(
                f"the classifier in {folder} knows other styles than this version renders; "
                f"make it anew with python -m p2i_ray.mini.style_training --out {folder}"
            )
        weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  # no mapping
    network = new_network()
    network.load_state_dict(weights)
    network.train(False)
    return StyleClassifier(network)
