"""The interface of a family of diffusion models, a class a family: for training, sampling and export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from p2i_ray.diffusion.backbones.families import Family


class PromptStates(NamedTuple):
    """B prompts as the denoiser reads them; L tokens of d values."""

    states: torch.Tensor  # (B, L, d), for its cross-attention
    pooled: torch.Tensor | None = None  # (B, p), added to its time embedding; none: it takes nothing of the kind
    last: tuple[torch.Tensor, ...] = ()  # of each text encoder (B, L, d_e): its last state, after the final layer norm

    def seen(self) -> PromptStates:
        """Without what the denoiser doesn't read."""
        return self._replace(last=())

    def expand(self, rows: int) -> PromptStates:
        """The denoiser's inputs of one prompt, (1, …), for so many rows."""
        return PromptStates(
            self.states.expand(rows, -1, -1), None if self.pooled is None else self.pooled.expand(rows, -1)
        )

    def where(self, chosen: torch.Tensor, other: PromptStates) -> PromptStates:
        """The rows (B,) that are chosen, and in the place of all others those of `other`; either may be (1, …)."""
        pooled = None
        if self.pooled is not None and other.pooled is not None:
            pooled = torch.where(chosen[:, None], self.pooled, other.pooled)
        return PromptStates(torch.where(chosen[:, None, None], self.states, other.states), pooled)


def joined(prompts: Sequence[PromptStates]) -> PromptStates:
    """Prompts of several rows, one after the other."""
    pooled = [prompt.pooled for prompt in prompts if prompt.pooled is not None]
    return PromptStates(torch.cat([prompt.states for prompt in prompts]), torch.cat(pooled) if pooled else None)


class Backbone(ABC):
    """A family of models. It holds no weights: they are given to its methods.

    A new family needs a `Family` that says what lies in its folders, and these methods; loop, features, losses,
    training, sampler, evaluation and service stay as they are.
    """

    family: Family

    @abstractmethod
    def encode(self, encoders: Sequence[nn.Module], ids: torch.Tensor) -> PromptStates:
        """Encode tokens.

        Args:
            encoders: the text encoders, in the family's order.
            ids: (B, E, L), a row for each of the E encoders.
        """

    @abstractmethod
    def nothing(self, encoders: Sequence[nn.Module], empty_ids: torch.Tensor) -> PromptStates:
        """The empty prompt's states, for guidance and where training drops names: (1, …).

        Args:
            encoders: the text encoders.
            empty_ids: tokens of the empty prompt, (1, E, L).
        """

    @abstractmethod
    def noise(
        self, schedule: Any, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The noisy latents x_t of Eq. 1, and what is to be predicted from them: both (B, c, h, w).

        Args:
            schedule: of the noise levels.
            latents: scaled, (B, c, h, w).
            noise: epsilon, the same shape.
            timesteps: (B,).
        """

    @abstractmethod
    def predict(
        self,
        denoiser: nn.Module,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        *,
        text: PromptStates,
        pixels: tuple[int, int],
    ) -> torch.Tensor:
        """The denoiser's output (B, c, h, w).

        Args:
            denoiser: the network.
            inputs: noisy latents, mask and product latents, (B, 2c + 1, h, w).
            timesteps: (B,).
            text: of B prompts.
            pixels: the pictures' height and width.
        """

    @abstractmethod
    def whole(self, parts: Mapping[str, Any]) -> Any:
        """Diffusers' pipeline of all parts, by their folders' names, for saving."""

    @abstractmethod
    def inpainting_pipeline(self, vae: Any, denoiser: nn.Module, scheduler: Any) -> Any:
        """Diffusers' inpainting pipeline without tokenizers and text encoders, which takes a guidance for each row."""

    @abstractmethod
    def conditions(self, text: PromptStates, negative: PromptStates | None) -> dict[str, Any]:
        """Arguments of a call of that pipeline: prompts, negative prompts, and what the family needs besides."""

    @abstractmethod
    def unused(self, encoders: Sequence[nn.Module], aligned: int) -> list[nn.Parameter]:
        """Parameters of the text encoders that no loss depends on, when r_b and r_P are of encoder `aligned`."""

    @abstractmethod
    def write_adapters(self, folder: Path, layers: Mapping[str, dict[str, Any]], weight_name: str) -> None:
        """Write LoRA adapters as diffusers reads them: tensors by layer, of each part by its folder's name."""


class GuidanceOfEachRow:
    """Lets diffusers' inpainting pipelines take a guidance scale for each row, (B, 1, 1, 1), or none at all."""

    _guidance_scale: Any

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the denoiser also sees the negative prompt."""
        if self._guidance_scale is None or isinstance(self._guidance_scale, torch.Tensor):
            return self._guidance_scale is not None
        inherited: Any = super()
        return bool(inherited.do_classifier_free_guidance)
