"""Sample images of generators in training: a few rows painted as they are used later, each in the style of the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from p2i_ray.config import TrainConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.model.preprocess import to_tensor
from p2i_ray.diffusion.sampling.denoise import DenoiseInputs, seeded
from p2i_ray.diffusion.training import samples
from p2i_ray.generators.batches import GeneratorCollate, opened, product_masks
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Control
from p2i_ray.generators.personality import PersonalityGenerator

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.diffusion.model.loading import Parts
    from p2i_ray.generators.step import GeneratorModel

GREY = 0.5  # around the product, of the pictures' range 0 to 1


@torch.no_grad()
def paint(
    model: GeneratorModel, parts: Parts, rows: pa.Table, *, collate: GeneratorCollate, settings: TrainConfig, seed: int
) -> Pixels:
    """Paint a background around each product, by its category, and in the style of the next row's picture.

    Args:
        model: in training.
        parts: of the base.
        rows: n of them, with pictures of one size.
        collate: makes prompts.
        settings: of the sample images.
        seed: of the noise; a row's depends on it and the row's place alone.

    Returns:
        (n, H, W, 3) uint8.
    """
    count = rows.num_rows
    with samples.ready(model, parts) as denoise:
        painted = []
        for start in range(0, count, samples.BATCH_SIZE):
            places = range(start, min(start + samples.BATCH_SIZE, count))
            following = [(place + 1) % count for place in places]
            inputs = _inputs(
                model,
                rows.take(list(places)),
                rows.take(following),
                collate=collate,
                settings=settings,
                generators=seeded(seed_for(seed, "sample", place) for place in places),
            )
            painted.append(denoise(inputs))
    return np.concatenate(painted)


def sheet(rows: pa.Table, painted: Pixels, *, references: bool) -> Pixels:
    """One image: a column for each row, with product, painted picture, photo and, where asked, the reference.

    Args:
        rows: n of them.
        painted: (n, H, W, 3) uint8.
        references: whether they were painted in the style of the next row's picture.
    """
    photos, masks = _pictures(rows)
    products = np.where(masks[..., None] >= 128, photos, np.uint8(round(255 * GREY)))
    shown = [products, painted, photos]
    if references:
        beside = np.where(masks[..., None] >= 128, np.uint8(round(255 * GREY)), photos)
        shown.append(np.roll(beside, -1, axis=0))
    return samples.grid(shown)


def _inputs(
    model: GeneratorModel,
    rows: pa.Table,
    referred: pa.Table,
    *,
    collate: GeneratorCollate,
    settings: TrainConfig,
    generators: list[torch.Generator],
) -> DenoiseInputs:
    device = model.device
    ids = collate.prompts_of(rows["name"].to_pylist(), rows["category"].to_pylist())
    ids = {name: values.to(device) for name, values in ids.items()}
    texts = list(model.texts)

    def states(name: str) -> torch.Tensor:
        return model.backbone.encode(texts, ids[name]).states

    photos, masks = _pictures(rows)
    image, mask = to_tensor(photos), product_masks(list(masks))
    nothing = model.backbone.nothing(texts, model.empty_ids).expand(len(photos))
    guided = settings.tracking.guidance_scale > 1
    controls: dict[str, Control] = {}
    product = states("product_ids")
    category: CategoryGenerator | None = model.generator("category")
    if category is not None:
        background = None if category.plain else states("background_ids")
        control = CategoryGenerator.control(product, background, image=image, mask=mask)
        controls["category"] = control.ready(
            torch.cat([nothing.states] * category.texts, dim=1) if guided else None, product.dtype
        )
    if model.generator("personality") is not None:
        pictures, hidden = _pictures(referred)
        control = PersonalityGenerator.control(
            product, reference=to_tensor(pictures), reference_mask=product_masks(list(hidden)), mask=mask
        )
        controls["personality"] = control.ready(nothing.states if guided else None, product.dtype)
    return DenoiseInputs(
        prompts=model.backbone.encode(texts, ids["base_ids"]).seen(),
        negatives=nothing,
        image=image * mask + GREY * (1 - mask),
        mask=1 - mask,
        steps=settings.tracking.num_inference_steps,
        guidance=settings.tracking.guidance_scale,
        generators=generators,
        more={"cross_attention_kwargs": {"controls": controls}},
    )


def _pictures(rows: pa.Table) -> tuple[Pixels, Pixels]:
    """Pictures (n, H, W, 3) and product masks (n, H, W)."""
    found = [[opened(value) for value in rows[name].to_pylist()] for name in ("picture", "product")]
    return np.stack(found[0]), np.stack(found[1])
