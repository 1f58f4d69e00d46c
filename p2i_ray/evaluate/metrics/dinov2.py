"""DINOv2's image encoder: the features of FD-DINOv2 (Stein et al. 2023), which see shapes better than Inception's.

Pictures are resized to 224 x 224 by clean-fid's convention and normalised by ImageNet's mean and standard deviation;
the features are the normalised class token. The table of positions is resized as the published model does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import Dinov2Model

from p2i_ray.data.images import Pixels
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError, one_line
from p2i_ray.evaluate.metrics.clean_resize import bicubic
from p2i_ray.storage import folders, locations

SIDE = 224  # pixels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFFSET = 0.1  # of a patch, which the published model adds when it resizes its table of positions


class Dinov2Encoder(nn.Module):
    """A frozen DINOv2 image encoder, float32.

    Args:
        folder: location of a transformers Dinov2 folder (safetensors), such as facebook/dinov2-large.

    Raises:
        UserError: the folder isn't there, or holds no such model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.model = _load(folder)
        patch: Any = self.model.config.patch_size
        if SIDE % patch:
            raise UserError(f"evaluate.dinov2={folder} has patches of {patch} pixels, which don't divide {SIDE}")
        embeddings = self.model.embeddings
        embeddings.position_embeddings = nn.Parameter(_resized(embeddings.position_embeddings, SIDE // patch))
        self.requires_grad_(False).eval()
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1))

    @torch.no_grad()
    def forward(self, pictures: Sequence[Pixels]) -> Tensor:
        """The features (B, D) of B pictures (H, W, 3), uint8."""
        levels = torch.from_numpy(bicubic(pictures, SIDE)).to(self.mean.device)
        features: Tensor = self.model(pixel_values=(levels - self.mean) / self.std).pooler_output
        return features


def check(folder: str) -> None:
    """Check that a folder has a DINOv2 model, from its small files alone.

    Raises:
        UserError: it hasn't.
    """
    if not locations.exists(locations.join(folder, "config.json")):
        raise UserError(f"evaluate.dinov2={folder} is no transformers DINOv2 folder (no config.json); check the path")
    weight_files.find(folder, weight_files.TRANSFORMERS, setting="evaluate.dinov2").tensors()


def _load(folder: str) -> Dinov2Model:
    with folders.local_folder(folder) as local:
        variant = weight_files.find(local, weight_files.TRANSFORMERS, setting="evaluate.dinov2").variant
        options = {"use_safetensors": True, "variant": variant, "dtype": torch.float32, "output_loading_info": True}
        load: Callable[..., Any] = Dinov2Model.from_pretrained  # whose types leave out what it tells of the loading
        try:
            model, told = load(local, local_files_only=True, **options)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise UserError(f"evaluate.dinov2={folder}: {one_line(error)}") from error
    if absent := sorted(told["missing_keys"]):
        raise UserError(f"evaluate.dinov2={folder}: the weights have no {absent[0]}; fetch the model again")
    return cast(Dinov2Model, model)


def _resized(table: Tensor, side: int) -> Tensor:
    """A table of positions (1, 1 + n^2, D), the class token's first, for side x side patches."""
    first, patches = table[:, :1], table[:, 1:]
    given = round(patches.shape[1] ** 0.5)
    if given == side:
        return table.detach().clone()
    grid = patches.detach().reshape(1, given, given, -1).permute(0, 3, 1, 2)  # (1, D, n, n)
    scale = (side + OFFSET) / given
    grid = functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([first.detach(), grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
