"""What the judge's vision tower learns first: where text and clutter are, how strong, and what the scene is."""

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
MIXES = (NATURAL, BALANCED, BALANCED, NATURAL, CLEAN)  # by turns
SEEN = (*SCENES, PLAIN)
SHAPE_NAMES = sorted({paint.__name__ for paint, *_ in SHAPES.values()})
SHAPE_OF = {category: SHAPE_NAMES.index(paint.__name__) for category, (paint, *_) in SHAPES.items()}


@dataclass(frozen=True)
class Truth:
    """What the heads learn from, for a batch of B pictures."""

    cells: torch.Tensor  # (B, 16, 3), 0..1
    scene: torch.Tensor  # (B,)
    shape: torch.Tensor  # (B,)
    levels: torch.Tensor  # (B, 3): of text, clutter, blur, 0..2


def draw_batch(start: int, count: int, seed: int) -> tuple[list[Sample], Truth]:
    """Pictures number start.. of the training world, and the truth about them."""
    drawn = [render_with_cover(TRAINING + seed, start + i, MIXES[(start + i) % len(MIXES)]) for i in range(count)]
    samples = [sample for sample, _ in drawn]
    covers = np.stack([np.concatenate([cover, sample.mask[None] > 0]) for sample, cover in drawn])  # (B, 3, 64, 64)
    cells = covers.reshape(count, 3, 4, 16, 4, 16).mean((3, 5)).reshape(count, 3, TOKENS).transpose(0, 2, 1)
    levels = [[s.flaws.get(flaw, 0) for flaw in ("text overlay", "clutter", "blur")] for s in samples]
    return samples, Truth(
        torch.from_numpy((np.minimum(cells * 2, 1)).astype(np.float32)),
        torch.tensor([SEEN.index(s.scene) for s in samples]),
        torch.tensor([SHAPE_OF[s.category] for s in samples]),
        torch.tensor(levels),
    )


class TowerHeads(nn.Module):
    """Throw-away heads on the tower's tokens: what is in each of the 16 cells, and in the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Linear(WIDTH, 3)  # share of the cell that text, clutter and product cover
        self.cell_scene = nn.Linear(WIDTH, len(SEEN))
        self.whole = nn.Linear(2 * WIDTH, len(SEEN) + len(SHAPE_NAMES) + 3 * 3)

    def forward(self, features: torch.Tensor, truth: Truth) -> torch.Tensor:
        """Loss of the tower's features (B, 16, 128)."""
        dense = functional.binary_cross_entropy_with_logits(self.cells(features), truth.cells)
        scene = functional.cross_entropy(self.cell_scene(features).flatten(0, 1), truth.scene.repeat_interleave(TOKENS))
        pooled = torch.cat([features.mean(1), features.amax(1)], -1)  # (B, 256): max finds a single cell's clutter
        parts = self.whole(pooled).split([len(SEEN), len(SHAPE_NAMES), 3, 3, 3], -1)
        targets = (truth.scene, truth.shape, *truth.levels.unbind(1))
        return (
            2 * dense
            + 0.5 * scene
            + torch.stack([functional.cross_entropy(p, t) for p, t in zip(parts, targets, strict=True)]).sum()
        )
