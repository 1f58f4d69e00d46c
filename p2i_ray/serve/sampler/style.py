"""Similarity of two backgrounds: the cosine of CLIP's features of the pictures without their products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.nn import functional

from p2i_ray.data.images import Pixels, background_of
from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder
from p2i_ray.generators.request import Reference


class StyleEncoder:
    """A CLIP on a device."""

    def __init__(self, clip: str, device: str) -> None:
        """Load it.

        Args:
            clip: location of a transformers CLIP folder.
            device: PyTorch's name of it.

        Raises:
            UserError: the folder can't be used.
        """
        self._encoder = ClipEncoder(clip).to(device)

    def similarity(self, pictures: Sequence[Pixels], mask: Pixels, reference: Reference) -> list[float]:
        """See `images.protocol.StyleRanker`; grey is where a product was."""
        hidden = np.zeros(reference.picture.shape[:2], np.uint8) if reference.mask is None else reference.mask
        grounds = [background_of(reference.picture, hidden), *(background_of(picture, mask) for picture in pictures)]
        wanted, *found = self._encoder.embed(grounds).double()
        return [float(functional.cosine_similarity(one, wanted, dim=0)) for one in found]
