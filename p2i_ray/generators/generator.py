"""A trainable copy of the frozen denoiser's encoder, as ControlNet has it: what it makes of a picture is added.

The copy reads the same noisy latents as the base (with mask and product latent where the base inpaints), a text, and a
picture in pixels, through ControlNet's own small network. Its outputs pass through convolutions that start at zero, so
that before training the base paints what it paints alone.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from p2i_ray.generators.masked_attention import Guidance, guide, layer_masks

Kind = Literal["category", "personality"]
PICTURE_WIDTHS = (16, 32, 96, 256)  # of the network that reads the picture, at each of its resolutions, as published


class Control(NamedTuple):
    """A copy's inputs for B rows."""

    states: torch.Tensor  # (B, L, d), the text that it reads; of the category-wise generator P_fg and P_bg, (B, 2L, d)
    picture: torch.Tensor  # (B, 3, H, W), 0 to 1
    mask: torch.Tensor  # (B, 1, H, W), 1 where the product to be painted around is

    def ready(self, negative: torch.Tensor | None, dtype: torch.dtype) -> Control:
        """The same on its states' device, for a pipeline's call.

        Args:
            negative: states of the negative prompts, which come first where there is guidance; none: there is none.
            dtype: of the picture.
        """
        states, picture, mask = self
        if negative is not None:
            states = torch.cat([negative, states])
            picture, mask = torch.cat([picture, picture]), torch.cat([mask, mask])
        return Control(states, picture.to(states.device, dtype), mask.to(states.device))


class Residuals(NamedTuple):
    """Residuals that are added to the base's activations."""

    down: list[torch.Tensor]  # each (B, c, h, w), of the encoder's layers
    middle: torch.Tensor

    def plus(self, other: Residuals) -> Residuals:
        """The sum with those of another copy."""
        return Residuals([a + b for a, b in zip(self.down, other.down, strict=True)], self.middle + other.middle)


class Generator(nn.Module):
    """A copy and the attention that it is given."""

    kind: ClassVar[Kind]

    def __init__(self, copy: ControlNetModel, guidance: Guidance) -> None:
        """Take a copy; see `copy_of`."""
        super().__init__()
        guide(copy, guidance)
        self.copy = copy
        self.scale = 1.0  # weight of its outputs

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """Parts that never learn."""
        return ()

    def forward(
        self, latents: torch.Tensor, timesteps: torch.Tensor, control: Control, added: dict[str, torch.Tensor] | None
    ) -> Residuals:
        """The residuals that the copy adds to the base.

        Args:
            latents: the base's input, (B, 4 or 9, h, w).
            timesteps: (B,) or ().
            control: see there.
            added: what the base is told beside text and time, where its family is told anything.
        """
        masks = layer_masks(self.copy, control.mask, (latents.shape[2], latents.shape[3]))
        down, middle = self.copy(
            latents,
            timesteps,
            control.states,
            control.picture.to(latents.dtype),
            conditioning_scale=self.scale,
            added_cond_kwargs=added,
            cross_attention_kwargs={"masks": masks},
            return_dict=False,
        )
        return Residuals(list(down), middle)


def copy_of(denoiser: UNet2DConditionModel, pixels_per_latent: int, *, seed: int) -> ControlNetModel:
    """A copy of a denoiser's encoder in float32, with its weights.

    Args:
        denoiser: the base, which stays as it is.
        pixels_per_latent: along one side; a power of 2.
        seed: of the weights of the network that reads the picture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ControlNetModel.from_unet(
            denoiser, conditioning_embedding_out_channels=picture_widths(pixels_per_latent)
        )
    return cast(ControlNetModel, made.float())


def picture_widths(pixels_per_latent: int) -> tuple[int, ...]:
    """Widths of the network that reads a picture, which halves it between each two of them."""
    halvings = pixels_per_latent.bit_length() - 1
    assert pixels_per_latent == 1 << halvings, "latents whose size is no power of 2"
    return (*PICTURE_WIDTHS, *PICTURE_WIDTHS[-1:] * halvings)[: halvings + 1]


class ControlledDenoiser(nn.Module):
    """The frozen base and the copies beside it, called as diffusers' pipelines call the base.

    What the copies are given of each row comes with `cross_attention_kwargs={"controls": {kind: Control}}`; a copy
    without a control adds nothing.
    """

    def __init__(self, base: UNet2DConditionModel, generators: dict[str, Generator]) -> None:
        """Take the base, which is frozen, and the generators by their kind."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.generators = nn.ModuleDict(generators)

    @property
    def config(self) -> Any:
        """The base's."""
        return self.base.config

    @property
    def add_embedding(self) -> Any:
        """The base's, at whose width Stable Diffusion XL's pipeline looks."""
        return self.base.add_embedding

    @property
    def dtype(self) -> torch.dtype:
        """The base's arithmetic."""
        return self.base.dtype

    @property
    def device(self) -> torch.device:
        """The base's device."""
        return self.base.device

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        cross_attention_kwargs: dict[str, Any],
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        **more: Any,
    ) -> Any:
        """The base's output, with what the copies make of their controls added to its activations."""
        controls: dict[str, Control] = cross_attention_kwargs["controls"]
        found: Residuals | None = None
        for kind, generator in self.generators.items():
            if kind not in controls:
                continue
            own: Residuals = generator(sample, timestep, controls[kind], added_cond_kwargs)
            found = own if found is None else found.plus(own)
        residuals: dict[str, Any] = {}
        if found is not None:
            residuals = {
                "down_block_additional_residuals": found.down,
                "mid_block_additional_residual": found.middle,
            }
        return self.base(
            sample,
            timestep,
            encoder_hidden_states=encoder_hidden_states,
            added_cond_kwargs=added_cond_kwargs,
            **residuals,
            **more,
        )
