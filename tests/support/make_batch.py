"""A model and batches for tests, the same in every process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.model import loading, lora
from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.diffusion.step import Batch, Product2Img, draw

NAMES = ("cup", "a blue cup with a long name that does not fit in", "round thing", "x")


def make_model(diffusion: DiffusionConfig, **settings: Any) -> tuple[loading.Parts, Product2Img]:
    """The tiny model, as training has it, with a contrastive weight that matters."""
    parts = loading.load(diffusion.base, diffusion)
    chosen = TrainConfig(**{"contrastive_weight": 0.5, **settings})
    lora.add(parts, chosen, seed=0)
    return parts, Product2Img(parts, loading.load_projection(diffusion), chosen)


def make_batch(parts: loading.Parts, positions: range, names: Sequence[str] = NAMES, dropout: float = 0.4) -> Batch:
    """Rows `positions` of a global batch whose features are random but depend on the position only."""
    token = "<background>" if parts.token_ids else None
    prompts = tokenise_each(parts.tokenizers, token, [names[p] for p in positions])
    rows = []
    for position in positions:
        generator = torch.Generator().manual_seed(position)
        mask = (torch.rand(1, 8, 8, generator=generator) < 0.5).float()
        moments = torch.randn(2, 8, 8, 8, generator=generator)
        rows.append((*moments, mask, *torch.randn(2, 8, generator=generator)))
    features = [torch.stack(column) for column in zip(*rows, strict=True)]
    draws = draw(7, 3, positions, latent=(4, 8, 8), timesteps=1000, prompt_dropout=dropout)
    return Batch(*features, prompts.ids, prompts.background_at, prompts.eos_at, *draws)
