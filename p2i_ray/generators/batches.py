"""Batches for training generators: prompts, pictures and spoilt references, made while others are trained on."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model.preprocess import paint_mask, to_tensor
from p2i_ray.diffusion.model.prompt import tokenise_each
from p2i_ray.diffusion.step import draw
from p2i_ray.diffusion.training import rows
from p2i_ray.generators.prompts import GeneratorPrompts
from p2i_ray.generators.spoiling import Spoilt, seed_of, spoil

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.config import DiffusionConfig
    from p2i_ray.config.generators import GeneratorsConfig
    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.generators.category import CategoryGenerator
    from p2i_ray.generators.step import GeneratorModel

FLOATS = ("image_moments", "product_moments", "mask")  # of a row's features; CLIP's are not needed


class GeneratorCollate:
    """Rows of one step as tensors: the fields of step.GeneratorBatch, and `step` and `number` of each row."""

    def __init__(
        self,
        parts: Parts,
        model: GeneratorModel,
        *,
        diffusion: DiffusionConfig,
        settings: GeneratorsConfig,
        seed: int,
        prompt_dropout: float,
    ) -> None:
        """Take what prompts and noise are made with.

        Args:
            parts: of the base; where there are identifiers its text encoders know them already.
            model: whose generators say what a batch needs.
            diffusion: the base's own prompt.
            settings: whether the base reads it, and how references are spoilt.
            seed: of the noise and the spoiling.
            prompt_dropout: fraction of rows whose prompts are dropped.
        """
        self._tokenizers, self._diffusion, self._settings = parts.tokenizers, diffusion, settings
        self._timesteps = int(parts.scheduler.config["num_train_timesteps"])
        self._seed, self._prompt_dropout = seed, prompt_dropout
        self._category: CategoryGenerator | None = model.generator("category")
        self._refers = model.generator("personality") is not None
        first: Any = self._category or model.generator("personality")
        tokens = self._category.identifiers.tokens if self._category else 0
        self._prompts = GeneratorPrompts(parts, first.templates, tokens)
        self._one_at_a_time = threading.Lock()  # tokenizers change their state when called

    def __call__(self, batch: pa.Table) -> dict[str, torch.Tensor]:
        """See the class."""
        step, first = (batch[name][0].as_py() for name in ("step", "position"))
        positions = range(first, first + batch.num_rows)
        pictures = [opened(picture) for picture in batch["picture"].to_pylist()]
        masks = [opened(product) for product in batch["product"].to_pylist()]
        draws = draw(
            self._seed,
            step,
            positions,
            latent=rows.latent_shape(batch),
            timesteps=self._timesteps,
            prompt_dropout=self._prompt_dropout,
        )
        features = rows.unpack(batch)
        found = {
            **{name: torch.from_numpy(features[name]) for name in FLOATS},
            "product_mask": product_masks(masks),
            **self.prompts_of(batch["name"].to_pylist(), batch["category"].to_pylist()),
            **draws._asdict(),
            "step": _numbers(batch, "step"),
            "number": _numbers(batch, "number"),
        }
        if self._category:
            found["image"] = to_tensor(np.stack(pictures))
        if self._refers:
            others = [opened(other) for other in batch["other"].to_pylist()]
            seeds = [seed_of(self._seed, step, position) for position in positions]
            spoilt = [
                spoil(picture, mask, other, settings=self._settings.spoiling, seed=seed)
                for picture, mask, other, seed in zip(pictures, masks, others, seeds, strict=True)
            ]
            found |= references(spoilt)
        return found

    def prompts_of(self, names: Sequence[str], categories: Sequence[str | None]) -> dict[str, torch.Tensor]:
        """The ids of all prompts of some rows, and the places of their categories.

        Args:
            names: of the products.
            categories: none: P_fg names the product; only without a category-wise generator.
        """
        with self._one_at_a_time:
            named = [category or name for category, name in zip(categories, names, strict=True)]
            product = self._prompts.product(named)
            found = {"product_ids": product, "base_ids": product}
            if self._category:
                places = [self._category.categories.find(category or "", unknown="error") for category in categories]
                found["background_ids"] = self._prompts.background(places)
                if not self._category.plain:
                    found["base_ids"] = self._prompts.whole(named, places)
                found["categories"] = torch.tensor(places)
            if self._settings.base_prompt == "product2img":
                token, template = self._diffusion.token, self._diffusion.prompt
                found["base_ids"] = tokenise_each(self._tokenizers, token, list(names), template=template).ids
        return found


def opened(encoded: bytes) -> Pixels:
    """Pixels of a PNG that `features.encode` wrote, (H, W, 3) or (H, W) uint8."""
    with Image.open(io.BytesIO(encoded), formats=["PNG"]) as picture:
        return np.array(picture)


def product_masks(masks: Sequence[Pixels]) -> torch.Tensor:
    """Masks (H, W), 255 where the product is, as (B, 1, H, W), 1 where it is."""
    return 1 - paint_mask(np.stack(masks))


def references(spoilt: Sequence[Spoilt]) -> dict[str, torch.Tensor]:
    """The fields `reference` and `reference_mask` of a batch."""
    hidden = torch.from_numpy(np.stack([one.product for one in spoilt])).float()[:, None]
    return {"reference": to_tensor(np.stack([one.picture for one in spoilt])), "reference_mask": hidden}


def _numbers(batch: pa.Table, name: str) -> torch.Tensor:
    values: NDArray[np.int64] = batch[name].to_numpy().copy()
    return torch.from_numpy(values)
