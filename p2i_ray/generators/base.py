"""The frozen base that copies stand beside: loaded, made plain again where the paper's is wanted, and recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model import validation
from p2i_ray.errors import UserError

if TYPE_CHECKING:
    import torch

    from p2i_ray.diffusion.model.loading import Parts


def check_base(
    location: str, diffusion: DiffusionConfig, settings: GeneratorsConfig, image: ImageConfig | None = None
) -> None:
    """Check by its small files that a model can be the base that the settings ask for.

    Raises:
        UserError: it can't.
    """
    plain = settings.base == "text_to_image"
    validation.check_model(location, image, widen=plain or diffusion.widen)
    if plain and not validation.is_plain(location):
        raise UserError(
            f"generators.base=text_to_image, and {location} is an inpainting model; set generators.base=inpainting"
        )


def load_base(
    location: str, diffusion: DiffusionConfig, settings: GeneratorsConfig, dtype: torch.dtype | None = None
) -> Parts:
    """Load a base; a plain one keeps the 4 input channels that it has.

    Raises:
        UserError: it can't be loaded, or isn't what the settings ask for.
    """
    import torch

    from p2i_ray.diffusion.model import loading

    check_base(location, diffusion, settings)
    parts = loading.load(location, loadable(diffusion, settings), dtype or torch.float32)
    if settings.base == "text_to_image":
        narrow(parts)
    return parts


def loadable(diffusion: DiffusionConfig, settings: GeneratorsConfig) -> DiffusionConfig:
    """The settings with which the loader takes such a base."""
    return diffusion.model_copy(update={"widen": True}) if settings.base == "text_to_image" else diffusion


def narrow(parts: Parts) -> None:
    """Take the input channels away that the loader has just added to a plain model."""
    import torch
    from torch import nn

    assert parts.widened, "these channels belong to the model"
    old: Any = parts.denoiser.conv_in
    channels = validation.PLAIN_CHANNELS
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, padding=old.padding, dtype=old.weight.dtype)
    with torch.no_grad():
        new.weight.copy_(old.weight[:, :channels])
        cast(nn.Parameter, new.bias).copy_(old.bias)
    parts.denoiser.conv_in = new
    parts.denoiser.register_to_config(in_channels=channels)  # type: ignore[no-untyped-call]
    parts.widened = False
