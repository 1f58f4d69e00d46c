"""A reference as IP-Adapter sees it: a few tokens of its CLIP embedding, beside the text, in place of its pixels.

To compare with: a copy of the same size that is told what a reference is like, and not where anything in it is.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPModel

from p2i_ray.encoders.clip import clip_folder

TOKENS = 4  # as IP-Adapter has


class ReferenceTokens(nn.Module):
    """A frozen CLIP, and the projection of its embedding to tokens, which learns."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, clip: CLIPModel, mean: list[float], deviation: list[float], width: int) -> None:
        """Take the CLIP; see `reference_tokens`.

        Args:
            clip: it is frozen.
            mean: of the pictures that it was trained on, by channel, 0 to 1.
            deviation: their standard deviation.
            width: of a token, d.
        """
        super().__init__()
        self.encoder, self.to_embedding = clip.vision_model, clip.visual_projection
        self.made_for = hashlib.sha256(clip.visual_projection.weight.detach().numpy().tobytes()).hexdigest()[:16]
        self.encoder.requires_grad_(False)
        self.to_embedding.requires_grad_(False)
        self.side = int(cast(Any, clip.config.vision_config).image_size)
        self.project = nn.Linear(self.to_embedding.out_features, TOKENS * width)
        self.normalise = nn.LayerNorm(width)
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """The tokens (B, TOKENS, d) of pictures (B, 3, H, W), 0 to 1, with nothing where their products are."""
        size = (self.side, self.side)
        fitted = functional.interpolate(pictures.float(), size=size, mode="bicubic", antialias=True).clamp(0, 1)
        inputs = ((fitted - self.mean) / self.deviation).to(self.project.weight.dtype)
        with torch.no_grad():
            embedding = self.to_embedding(self.encoder(pixel_values=inputs).pooler_output)  # (B, e)
            embedding = functional.normalize(embedding, dim=-1) * embedding.shape[-1] ** 0.5  # of values around 1
        tokens = self.project(embedding).unflatten(1, (TOKENS, -1))  # (B, TOKENS, d)
        return cast(torch.Tensor, self.normalise(tokens))

    def learned(self) -> dict[str, torch.Tensor]:
        """The weights that learn, by name; CLIP's are not a generator's own."""
        parts = (("project", self.project), ("normalise", self.normalise))
        return {f"{name}.{key}": value for name, part in parts for key, value in part.state_dict().items()}

    def take(self, weights: dict[str, torch.Tensor]) -> None:
        """Overwrite the weights that learn with those of `learned`."""
        for name in ("project", "normalise"):
            own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
            getattr(self, name).load_state_dict(own, strict=True)


def reference_tokens(location: str, width: int, *, seed: int = 0) -> ReferenceTokens:
    """New tokens of a CLIP folder.

    Args:
        location: of the folder.
        width: of a token: what the copy's cross-attention reads.
        seed: of the projection's weights.

    Raises:
        UserError: the folder has no usable CLIP.
    """
    with clip_folder(location, setting="generators.reference_clip") as folder, torch.random.fork_rng(devices=[]):
        clip, processor = folder.model(), folder.image_processor()
        torch.manual_seed(seed)
        return ReferenceTokens(clip, list(processor.image_mean), list(processor.image_std), width)
