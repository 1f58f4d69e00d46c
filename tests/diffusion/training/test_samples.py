"""Sample pictures while training: what diffusers' own pipeline paints, and nothing of the training changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.features import schema
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.model import loading, preprocess
from p2i_ray.diffusion.model.export import lay_over
from p2i_ray.diffusion.model.prompt import empty_prompt, tokenise
from p2i_ray.diffusion.step import Product2Img
from p2i_ray.diffusion.training import samples
from tests.support.make_batch import make_batch, make_model
from tests.support.painting_workers import alone, work
from tests.support.tiny_models import RESOLUTION

pytestmark = pytest.mark.long

NAMES = ["cup", "a blue cup with a long name that does not fit in", "round thing"]
SETTINGS = TrackingConfig(num_inference_steps=5, guidance_scale=4)
SEED = 11


@pytest.fixture(scope="module")
def pictures() -> tuple[Pixels, Pixels]:
    """Images (3, R, R, 3) and product masks (3, R, R)."""
    images = np.random.default_rng(0).integers(0, 256, (3, RESOLUTION, RESOLUTION, 3), np.uint8)
    masks = np.zeros((3, RESOLUTION, RESOLUTION), np.uint8)
    masks[:, 4:9, 3:12] = 255
    return images, masks


@pytest.fixture(scope="module")
def features(tiny_painter: DiffusionConfig, pictures: tuple[Pixels, Pixels]) -> samples.Features:
    """As they come out of the store, half precision and all."""
    encoded = load_encoders(tiny_painter, "cpu").encode(*pictures)
    return {
        name: getattr(encoded, name).astype(schema.DTYPES[name]).astype(np.float32)
        for name in ("image_moments", "product_moments", "mask")
    }


def paint(
    made: tuple[loading.Parts, Product2Img], features: samples.Features, token: str | None, **changes: Any
) -> Pixels:
    parts, model = made
    settings = SETTINGS.model_copy(update=changes)
    rows = samples.SampleRows(NAMES[: len(features["mask"])], features)
    return samples.paint(model, parts, rows, token=token, settings=settings, seed=SEED)


def trained(diffusion: DiffusionConfig) -> tuple[loading.Parts, Product2Img]:
    """A model that has moved away from its base, and has gradients."""
    parts, model = make_model(diffusion)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in filter(lambda p: p.requires_grad, model.parameters()):
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    batch = make_batch(parts, range(4))
    model(batch, batch).total.backward()
    return parts, model


def by_diffusers(
    diffusion: DiffusionConfig, model: Product2Img, pictures: tuple[Pixels, Pixels], guidance: float, together: int
) -> Pixels:
    """What a user of the finished folder gets from pictures and masks, in whole pixels."""
    parts = loading.load(diffusion.base, diffusion)
    weights = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    lay_over(parts, TrainConfig(), weights)
    pipe = parts.pipeline()
    pipe.set_progress_bar_config(disable=True)
    images, masks = (array[:together] for array in pictures)
    with torch.no_grad():
        painted = pipe(
            prompt_embeds=parts.text_encoders[0](tokenise(parts.tokenizers[0], diffusion.token, NAMES[:together]).ids)[
                0
            ],
            negative_prompt_embeds=parts.text_encoders[0](empty_prompt(parts.tokenizers[0]))[0].expand(
                together, -1, -1
            ),
            image=preprocess.to_tensor(images),
            mask_image=preprocess.paint_mask(masks),
            height=RESOLUTION,
            width=RESOLUTION,
            num_inference_steps=SETTINGS.num_inference_steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed_for(SEED, "sample", row)) for row in range(together)],
            output_type="np",
        ).images
    return (painted * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("guidance", "token"), [(4, "<background>"), (1, "<background>"), (4, None)])
def test_pictures_are_those_of_diffusers_pipeline(
    tiny_painter: DiffusionConfig,
    features: samples.Features,
    pictures: tuple[Pixels, Pixels],
    guidance: float,
    token: str | None,
) -> None:
    diffusion = tiny_painter.model_copy(update={"token": token})
    made = trained(diffusion)
    ours = paint(made, features, token, guidance_scale=guidance)
    theirs = by_diffusers(diffusion, made[1], pictures=pictures, guidance=guidance, together=3)
    assert ours.shape == (3, RESOLUTION, RESOLUTION, 3) and ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 3 and difference.mean() < 0.2  # features are kept at half precision
    other = by_diffusers(diffusion, trained_differently(diffusion), pictures=pictures, guidance=guidance, together=3)
    assert np.abs(other.astype(int) - theirs).mean() > 2


def trained_differently(diffusion: DiffusionConfig) -> Product2Img:
    return make_model(diffusion)[1]


def test_training_is_not_disturbed(tiny_painter: DiffusionConfig, features: samples.Features) -> None:
    made = trained(tiny_painter)
    parts, model = made
    model.text_encoders[0].eval()  # a mode of its own
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.requires_grad}
    modes = [module.training for module in model.modules()]
    random, noise_levels = torch.get_rng_state(), parts.scheduler.timesteps.clone()
    first = paint(made, features, "<background>")
    samples.sheet(parts, features, first)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name].grad, value) for name, value in gradients.items())
    assert torch.equal(parts.scheduler.timesteps, noise_levels)
    assert np.array_equal(paint(made, features, "<background>"), first)  # the same noise every time
    batch = make_batch(parts, range(4))
    model(batch, batch).total.backward()


def test_rows_don_t_depend_on_their_number(tiny_painter: DiffusionConfig, features: samples.Features) -> None:
    parts, model = made = trained(tiny_painter)
    few = paint(made, features, "<background>", guidance_scale=1)
    many = {name: np.concatenate([values] * 3 + [values[:1]]) for name, values in features.items()}
    rows, settings = samples.SampleRows([*NAMES * 3, "cup"], many), SETTINGS.model_copy(update={"guidance_scale": 1})
    painted = samples.paint(model, parts, rows, token="<background>", settings=settings, seed=SEED)
    assert len(painted) == 10 > samples.BATCH_SIZE
    assert np.abs(painted[:3].astype(int) - few).max() <= 1
    assert not np.array_equal(painted[9], painted[0])  # the same row, but noise of its own


def test_bfloat16_and_values_that_are_no_numbers(tiny_painter: DiffusionConfig, features: samples.Features) -> None:
    _, model = made = trained(tiny_painter)
    exact = paint(made, features, "<background>", guidance_scale=1)
    model.to(torch.bfloat16)
    rounded = paint(made, features, "<background>", guidance_scale=1)
    assert rounded.shape == exact.shape
    with torch.no_grad():
        model.denoiser.conv_out.bias.fill_(float("nan"))
    assert (paint(made, features, "<background>") == 0).all()


def test_a_sheet_has_a_column_for_each_product(
    tiny_painter: DiffusionConfig, features: samples.Features, pictures: tuple[Pixels, Pixels]
) -> None:
    parts, _ = make_model(tiny_painter)
    painted = np.stack([np.full((RESOLUTION, RESOLUTION, 3), shade, np.uint8) for shade in (10, 20, 30)])
    page = samples.sheet(parts, features, painted)
    step = RESOLUTION + samples.GAP
    assert page.shape == (2 * step + RESOLUTION, 2 * step + RESOLUTION, 3)
    for column, shade in enumerate((10, 20, 30)):
        left = column * step
        assert (page[step : step + RESOLUTION, left : left + RESOLUTION] == shade).all()
    assert (page[:, RESOLUTION:step] == samples.WHITE).all() and (page[RESOLUTION:step] == samples.WHITE).all()
    vae, image = parts.vae, preprocess.to_tensor(pictures[0]) * 2 - 1
    with torch.no_grad():
        shown_above = (image * (1 - preprocess.paint_mask(pictures[1])), image)
        decoded = [vae.decode(vae.encode(one).latent_dist.mean).sample for one in shown_above]
    for band, wanted in zip((0, 2), decoded, strict=True):
        shown = page[band * step : band * step + RESOLUTION, step : step + RESOLUTION]
        values = ((wanted[1] / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy()
        assert np.abs(shown - values).max() <= 2
    many = {name: np.concatenate([values] * 3) for name, values in features.items()}
    page = samples.sheet(parts, many, np.concatenate([painted] * 3))
    assert page.shape == (5 * step + RESOLUTION, 7 * step + RESOLUTION, 3)
    assert (page[4 * step :, step:] == samples.WHITE).all()  # one product is left for the second line


@pytest.mark.slow  # half a minute: three processes import DeepSpeed or diffusers
def test_workers_that_share_the_weights_paint_the_same(
    tiny_painter: DiffusionConfig, features: samples.Features, pictures: tuple[Pixels, Pixels], tmp_path: Path
) -> None:
    """ZeRO-3: two workers, painting between steps changes neither the pictures nor the training."""
    mp = torch.multiprocessing.get_context("spawn")
    workers = [
        mp.Process(
            target=work,
            args=(rank, 2),
            kwargs={"diffusion": tiny_painter, "features": dict(features), "out": tmp_path},
        )
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
        assert worker.exitcode == 0
    ours, theirs = (np.load(tmp_path / f"pictures-{rank}.npy") for rank in range(2))
    assert np.array_equal(ours, theirs)
    weights = torch.load(tmp_path / "weights.pt")
    assert all(torch.equal(weights["painted"][name], value) for name, value in weights["not painted"].items())
    expected = alone(tiny_painter, features, weights["painted"])
    assert np.abs(ours[-1].astype(int) - expected).max() <= 1
    assert not np.array_equal(ours[-1], ours[0])
