"""CLIP's image encoder with its own preprocessing: the features that the metrics compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel

from p2i_ray.data.images import Pixels
from p2i_ray.encoders.clip import ClipFolder, clip_folder
from p2i_ray.errors import UserError

BICUBIC = 3  # PIL's number, as preprocessor_config.json has it


class ClipEncoder(nn.Module):
    """A frozen CLIP image encoder, float32.

    Args:
        folder: location of a transformers CLIP folder (safetensors, preprocessor_config.json), the mini one or
            openai/clip-vit-large-patch14 alike.
        setting: name of the setting that has it, for messages.

    Raises:
        UserError: the folder isn't there, or holds no such model, or its preprocessing isn't CLIP's.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, folder: str, *, setting: str = "evaluate.clip") -> None:
        super().__init__()
        with clip_folder(folder, setting=setting) as opened:
            clip, recipe = opened.model(), opened.image_processor_settings()
            self._take_text(clip, opened)
        self.tower, self.projection = clip.vision_model, clip.visual_projection
        self.requires_grad_(False).eval()
        self.num_features = int(clip.visual_projection.out_features)  # the name that torchmetrics asks for
        self.resize, self.crop = _sides(recipe, f"{setting}={folder}")
        self.register_buffer("mean", torch.tensor(recipe["image_mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(recipe["image_std"]).view(1, 3, 1, 1))

    def prepare(self, pictures: Sequence[Pixels]) -> Tensor:
        """Resize (bicubic, antialiased, shorter side), crop the centre and normalise, for `forward`.

        Args:
            pictures: B pictures (H, W, 3), uint8; sizes may differ.

        Returns:
            (B, 3, crop, crop), float32, normalised by CLIP's mean and standard deviation.
        """
        device = self.mean.device
        squares = torch.cat([self._square(torch.from_numpy(np.array(picture)).to(device)) for picture in pictures])
        return (squares / 255 - self.mean) / self.std  # (B, 3, crop, crop)

    @torch.no_grad()
    def forward(self, prepared: Tensor) -> Tensor:
        """Projected image features, not normalised: (B, D) from (B, 3, crop, crop)."""
        features: Tensor = self.projection(self.tower(pixel_values=prepared).pooler_output)
        return features

    def embed(self, pictures: Sequence[Pixels]) -> Tensor:
        """The features of pictures of any size: `forward` of `prepare`, (B, D)."""
        features: Tensor = self(self.prepare(pictures))
        return features

    def _take_text(self, clip: CLIPModel, opened: ClipFolder) -> None:
        """Keep what a subclass needs of the text's side."""

    def _square(self, picture: Tensor) -> Tensor:
        """(H, W, 3) uint8 to (1, 3, crop, crop) float, whole numbers 0..255 as in an 8-bit image."""
        planes = picture.permute(2, 0, 1).unsqueeze(0).float()  # (1, 3, H, W)
        height, width = planes.shape[-2:]
        shorter = min(height, width)
        size = (self.resize * height // shorter, self.resize * width // shorter)
        if size != (height, width):
            for step in ((height, size[1]), size):  # one side after the other, rounded in between, as Pillow does
                planes = functional.interpolate(planes, step, mode="bicubic", antialias=True).clamp(0, 255).round()
        top, left = (size[0] - self.crop) // 2, (size[1] - self.crop) // 2
        return planes[..., top : top + self.crop, left : left + self.crop]


def _sides(recipe: dict[str, Any], source: str) -> tuple[int, int]:
    """The shorter side after resizing, and the side of the central crop, pixels."""
    size, crop = recipe["size"], recipe.get("crop_size", recipe["size"])
    resize = size if isinstance(size, int) else size.get("shortest_edge") or size.get("height")
    side = crop if isinstance(crop, int) else crop.get("height") or crop.get("shortest_edge")
    flags = [recipe.get(flag, True) for flag in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")]
    if not resize or not side or side > resize or not all(flags) or recipe.get("resample", BICUBIC) != BICUBIC:
        raise UserError(f"{source}: its preprocessing isn't CLIP's: resize (bicubic), crop, normalise")
    return int(resize), int(side)
