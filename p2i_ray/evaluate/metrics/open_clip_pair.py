"""A CLIP by open_clip, from one file of its weights: what HPSv2.1 is published as (ViT-H-14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError

ARCHITECTURE = "ViT-H-14"


class OpenClipPair(nn.Module):
    """A frozen open_clip model with the preprocessing of HPSv2: the longer side resized, bicubic, the rest black.

    Args:
        weights: its tensors by name.
        source: where they are from, for messages.
        architecture: open_clip's configuration (none: that of ViT-H-14).

    Raises:
        UserError: they are of another architecture.
    """

    def __init__(self, weights: Mapping[str, Tensor], source: str, architecture: dict[str, Any] | None = None) -> None:
        import open_clip
        from open_clip.transform import image_transform

        super().__init__()
        shape = architecture or open_clip.get_model_config(ARCHITECTURE)
        self.model = open_clip.CLIP(**shape)
        try:
            self.model.load_state_dict(dict(weights))
        except RuntimeError as error:
            first = next((line.strip() for line in str(error).splitlines()[1:]), str(error))
            raise UserError(f"{source} holds no weights of open_clip's {ARCHITECTURE}: {first[:120]}") from None
        self._tokenize = open_clip.get_tokenizer(ARCHITECTURE)
        self._transform = image_transform(shape["vision_cfg"]["image_size"], is_train=False, resize_mode="longest")
        self.requires_grad_(False).eval()

    @property
    def logit_scale(self) -> Tensor:
        """See TextImageModel."""
        scale: Tensor = self.model.logit_scale
        return scale

    @torch.no_grad()
    def embed(self, pictures: Sequence[Pixels]) -> Tensor:
        """See TextImageModel."""
        prepared = torch.stack([self._transform(Image.fromarray(picture)) for picture in pictures])
        features: Tensor = self.model.encode_image(prepared.to(self.logit_scale.device))
        return features

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """See TextImageModel."""
        features: Tensor = self.model.encode_text(self._tokenize(list(texts)).to(self.logit_scale.device))
        return features
