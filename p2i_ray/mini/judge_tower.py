"""The first stage of the judge's vision tower: recognise the scene, and where text and clutter are and how strong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from p2i_ray.mini.judge_model import TOKENS, WIDTH
from p2i_ray.mini.products import SHAPES
from p2i_ray.mini.world import BALANCED, CLEAN, NATURAL, PLAIN, SCENES, Sample, render_with_cover

TRAINING = 500  # seed of the pictures trained on; the data set and the checks use others
MIXES = (NATURAL, BALANCED, BALANCED, NATURAL, CLEAN)  # in turn
SCENE_CLASSES = (*SCENES, PLAIN)
SHAPE_NAMES = sorted({shape.__name__ for shape, *_ in SHAPES.values()})
SHAPE_OF = {category: SHAPE_NAMES.index(shape.__name__) for category, (shape, *_) in SHAPES.items()}


@dataclass(frozen=True)
class Truth:
    """The labels of the heads, for a batch of B pictures."""

    cells: torch.Tensor  # (B, 16, 3), 0..1
    scene: torch.Tensor  # (B,)
    shape: torch.Tensor  # (B,)
    levels: torch.Tensor  # (B, 3): of text, clutter, blur, 0..2


def draw_batch(start: int, count: int, seed: int) -> tuple[list[Sample], Truth]:
    """Draw pictures number start, start + 1, … of the training world, and the truth about them."""
    drawn = [render_with_cover(TRAINING + seed, start + i, MIXES[(start + i) % len(MIXES)]) for i in range(count)]
    samples = [sample for sample, _ in drawn]
    covers = np.stack([np.concatenate([cover, sample.mask[None] > 0]) for sample, cover in drawn])  # (B, 3, 64, 64)
    cells = covers.reshape(count, 3, 4, 16, 4, 16).mean((3, 5)).reshape(count, 3, TOKENS).transpose(0, 2, 1)
    levels = [[s.flaws.get(flaw, 0) for flaw in ("text overlay", "clutter", "blur")] for s in samples]
    return samples, Truth(
        torch.from_numpy((np.minimum(cells * 2, 1)).astype(np.float32)),
        torch.tensor([SCENE_CLASSES.index(s.scene) for s in samples]),
        torch.tensor([SHAPE_OF[s.category] for s in samples]),
        torch.tensor(levels),
    )


class TowerHeads(nn.Module):
    """Temporary heads on the tower's tokens: for each of the 16 cells, and for the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Linear(WIDTH, 3)  # fraction of the cell that text, clutter and product cover
        self.cell_scene = nn.Linear(WIDTH, len(SCENE_CLASSES))
        self.whole = nn.Linear(2 * WIDTH, len(SCENE_CLASSES) + len(SHAPE_NAMES) + 3 * 3)

    def forward(self, features: torch.Tensor, truth: Truth) -> torch.Tensor:
        """The loss of the tower's features (B, 16, 128)."""
        dense = functional.binary_cross_entropy_with_logits(self.cells(features), truth.cells)
        scene = functional.cross_entropy(self.cell_scene(features).flatten(0, 1), truth.scene.repeat_interleave(TOKENS))
        pooled = torch.cat([features.mean(1), features.amax(1)], -1)  # (B, 256): max finds a single cell's clutter
        parts = self.whole(pooled).split([len(SCENE_CLASSES), len(SHAPE_NAMES), 3, 3, 3], -1)
        targets = (truth.scene, truth.shape, *truth.levels.unbind(1))
        return (
            2 * dense
            + 0.5 * scene
            + torch.stack([functional.cross_entropy(p, t) for p, t in zip(parts, targets, strict=True)]).sum()
        )
