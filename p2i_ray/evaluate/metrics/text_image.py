"""Scores of a picture with a text by a CLIP that was trained on people's choices: PickScore and HPSv2.1.

The text is evaluate.text with the product's name. Both were trained on pictures of text-to-image models, whose texts
say more than a name: compare models on the same products with the same text, not with published figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

from p2i_ray.data.images import Pixels
from p2i_ray.encoders.clip import ClipFolder
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.batch import Batch
from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder

LONGEST = 77  # tokens of a text
PLACE = "{name}"


class TextImageModel(Protocol):
    """Image and text features in one space, not necessarily normalised."""

    @property
    def logit_scale(self) -> Tensor:
        """The natural logarithm of the scale of cosines."""
        ...

    def embed(self, pictures: Sequence[Pixels]) -> Tensor:
        """(B, D) of B pictures (H, W, 3), uint8."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of B texts; longer ones are cut at 77 tokens."""
        ...


class ClipPair(ClipEncoder):
    """A frozen CLIP with its text encoder, from a transformers folder (safetensors, with tokenizer)."""

    logit_scale: Tensor

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """See TextImageModel."""
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=self._longest)
        given = {name: torch.tensor(tokens[name], device=self.mean.device) for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            features: Tensor = self.text_projection(self.text_tower(**given).pooler_output)
        return features

    def _take_text(self, clip: CLIPModel, opened: ClipFolder) -> None:
        self.text_tower, self.text_projection = clip.text_model, clip.text_projection
        self.register_buffer("logit_scale", clip.logit_scale.detach().clone())
        self._tokenizer = opened.tokenizer()
        positions = self.text_tower.embeddings.position_embedding.num_embeddings
        self._longest = min(LONGEST, positions)


def check(text: str) -> None:
    """Check that a text names the product.

    Raises:
        UserError: it has no place for the name.
    """
    if PLACE not in text:
        raise UserError(f"evaluate.text={text!r} has no {PLACE}, where the product's name goes")


def scores(model: TextImageModel, text: str, *, scaled: bool) -> Callable[[Batch], NDArray[np.float64]]:
    """A function that scores each of B rows: the cosine of picture and text, (B,).

    Args:
        model: frozen.
        text: with `{name}` in the product's place.
        scaled: times the model's own scale, as PickScore has it (about 100 cosines; good pictures about 20 to 22);
            otherwise the cosine itself, as HPSv2 has it (about 0.2 to 0.3; some tables print it times 100).
    """

    def values(batch: Batch) -> NDArray[np.float64]:
        texts = [text.replace(PLACE, row.name) for row in batch.rows]
        factor = float(model.logit_scale.exp()) if scaled else 1.0
        found: NDArray[np.float64] = (factor * cosines(model, batch.pictures, texts)).cpu().numpy()
        return found

    return values


def cosines(model: TextImageModel, pictures: Sequence[Pixels], texts: Sequence[str]) -> Tensor:
    """The cosine of each picture and its text, (B,), double precision."""
    return functional.cosine_similarity(model.embed(pictures).double(), model.embed_text(texts).double())
