"""The train step of generators, against Eq. 3 written out row by row; what learns; what is not there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.losses import min_snr_weights
from p2i_ray.diffusion.step import denoiser_inputs
from p2i_ray.generators.generator import Control
from p2i_ray.generators.prompts import GeneratorPrompts
from p2i_ray.generators.step import GeneratorBatch, LossSettings, generator_loss, trained_groups
from tests.support import reference
from tests.support.make_generators import BOTH, CATEGORIES, SETTINGS, TEMPLATES, make_batch, make_model
from tests.support.tiny_xl import XlModels

PLAIN = SETTINGS.model_copy(update={"base": "text_to_image"})


def expected_loss(parts: Any, model: Any, batch: GeneratorBatch) -> torch.Tensor:
    """Eq. 1 and 3 of each row by itself; what the copies give is theirs (see test_generator), and added."""
    scale, levels = parts.vae.config.scaling_factor, reference.alphas(parts.scheduler)
    errors = []
    for i in range(len(batch.timesteps)):
        mean, log_variance = batch.image_moments[i].chunk(2)
        x_0 = scale * (mean + torch.exp(log_variance / 2) * batch.image_noise[i])
        mean, log_variance = batch.product_moments[i].chunk(2)
        product = scale * (mean + torch.exp(log_variance / 2) * batch.product_noise[i])
        alpha = levels[batch.timesteps[i]]
        x_t = torch.sqrt(alpha) * x_0 + torch.sqrt(1 - alpha) * batch.noise[i]
        latents = torch.cat([x_t, batch.mask[i], product])[None, : parts.denoiser.config.in_channels]

        def text(ids: Any, row: int = i) -> tuple[torch.Tensor, torch.Tensor | None]:
            chosen = model.empty_ids[0] if batch.dropped[row] else ids[row]
            if batch.dropped[row]:
                return reference.nothing_of(parts, chosen)
            return reference.text_of(parts, chosen, _eos(parts, chosen))[:2]

        states, pooled = text(batch.base_ids)
        added = None
        if pooled is not None:
            added = {"text_embeds": pooled[None], "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]])}
        sums: list[Any] = []
        inside = batch.product_mask[i : i + 1]
        for kind, generator in model.denoiser.generators.items():
            first = text(batch.product_ids)[0][None]
            if kind == "category":
                both = torch.cat([first, text(batch.background_ids)[0][None]], 1)
                control = Control(both, batch.image[i : i + 1] * inside, inside)
            else:
                hidden = batch.reference_mask[i : i + 1]
                control = Control(first, batch.reference[i : i + 1] * (1 - hidden), inside)
            found = generator(latents, batch.timesteps[i], control, added)
            own = [*found.down, found.middle]
            sums = [a + b for a, b in zip(sums, own, strict=True)] if sums else own
        predicted = parts.denoiser(
            latents,
            batch.timesteps[i],
            states[None],
            added_cond_kwargs=added,
            down_block_additional_residuals=sums[:-1],
            mid_block_additional_residual=sums[-1],
        ).sample[0]
        errors.append(((batch.noise[i] - predicted) ** 2).mean())
    return torch.stack(errors)


def _eos(parts: Any, ids: torch.Tensor) -> int:
    """Where the last text encoder's eos is."""
    return int((ids[-1] == parts.tokenizers[-1].eos_token_id).nonzero()[0])


@pytest.mark.parametrize(
    ("kinds", "settings"),
    [(("category",), SETTINGS), (("personality",), SETTINGS), (BOTH, SETTINGS), (BOTH, PLAIN)],
    ids=["category", "personality", "both", "both, beside a plain model"],
)
def test_the_loss_is_eq_3(
    tiny_painter: DiffusionConfig, plain_painter: DiffusionConfig, kinds: tuple[str, ...], settings: Any
) -> None:
    parts, model = make_model(plain_painter if settings is PLAIN else tiny_painter, kinds, settings=settings)
    batch = make_batch(parts)
    assert batch.dropped.any() and not batch.dropped.all()
    with torch.no_grad():
        losses = model(batch)
        expected = expected_loss(parts, model, batch)
    torch.testing.assert_close(losses.noise, expected, rtol=1e-4, atol=1e-5)
    assert losses.total == losses.noise.mean() and (losses.pull == 0).all()


def test_beside_stable_diffusion_xl(xl_models: XlModels) -> None:
    parts, model = make_model(xl_models.painter())
    batch = make_batch(parts)
    with torch.no_grad():
        torch.testing.assert_close(model(batch).noise, expected_loss(parts, model, batch), rtol=1e-4, atol=1e-5)


def test_min_snr_and_the_pull_of_rare_categories(tiny_painter: DiffusionConfig) -> None:
    loss = LossSettings(min_snr_gamma=5.0, rare_below=10, rare_weight=0.5)
    parts, model = make_model(tiny_painter, ("category",), loss=loss)
    _, usual = make_model(tiny_painter, ("category",))
    batch = make_batch(parts)
    with torch.no_grad():
        losses, plain = model(batch), usual(batch)
    weights = min_snr_weights(model.schedule, batch.timesteps, 5.0)
    torch.testing.assert_close(losses.noise, plain.noise * weights)
    table = model.generator("category").identifiers.table
    pull = (1 - 3 / 10) * (table[1] - table[0]).square().mean() / 4  # "round cup", one of four rows; "back" is alone
    torch.testing.assert_close(losses.pull.mean(), pull)
    torch.testing.assert_close(losses.total, losses.noise.mean() + 0.5 * pull)


@pytest.mark.parametrize("trained", [None, ("category",), ("personality",)])
def test_gradients_reach_what_learns_and_nothing_else(
    tiny_painter: DiffusionConfig, trained: tuple[str, ...] | None
) -> None:
    parts, model = make_model(tiny_painter, trained=trained)
    batch = make_batch(parts, dropout=0.0)
    model(batch).total.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    learn = {
        name
        for name, _ in model.named_parameters()
        if any(name.startswith(f"denoiser.generators.{kind}.") for kind in trained or BOTH)
    }
    silent = {name for name in learn - reached if "to_k" not in name}
    assert reached <= learn and not silent
    assert [n for n, p in model.named_parameters() if p.grad is not None and n not in learn] == []
    groups = trained_groups(model)
    assert list(groups) == (["copy"] if trained == ("personality",) else ["copy", "identifiers"])
    grouped = {id(p) for group in groups.values() for p in group}
    assert {name for name, p in model.named_parameters() if id(p) in grouped} == learn
    if "identifiers" in groups:
        [table] = groups["identifiers"]
        rows = table.grad.reshape(len(CATEGORIES), 2, -1).abs().sum((1, 2)) > 0
        assert rows.tolist() == [True, True, True, False]  # "bag" is in no row


def test_an_identifier_is_reached_through_the_base_and_through_the_copy(tiny_painter: DiffusionConfig) -> None:
    for changed in ("base_ids", "background_ids"):
        parts, model = make_model(tiny_painter, ("category",))
        batch = make_batch(parts, dropout=0.0)
        batch = batch._replace(**{changed: batch.product_ids})  # the other one alone has the identifier
        model(batch).total.backward()
        assert model.generator("category").identifiers.weight.grad.abs().sum() > 0


def test_rows_do_not_see_each_other_and_parts_of_a_batch_add_up(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter)
    batch = make_batch(parts)
    with torch.no_grad():
        whole = model(batch).noise
        halves = torch.cat([model(half).noise for half in batch.micro_batches(2)])
        torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-5)


def test_a_model_in_training_keeps_its_base_in_evaluation(tiny_painter: DiffusionConfig) -> None:
    _, model = make_model(tiny_painter)
    model.train()
    assert model.denoiser.generators.training and model.denoiser.generators["category"].copy.training
    assert not model.denoiser.base.training and not any(text.training for text in model.texts)


def test_beside_product2img_the_base_reads_its_own_prompt(tiny_painter: DiffusionConfig) -> None:
    from p2i_ray.diffusion.model.prompt import tokenise_each

    parts, model = make_model(tiny_painter, ("category",))
    batch = make_batch(parts, dropout=0.0)
    names = ["cup"] * len(batch.timesteps)
    own = batch._replace(base_ids=tokenise_each(parts.tokenizers, "<background>", names).ids)
    with torch.no_grad():
        torch.testing.assert_close(
            generator_loss(model, own).noise, expected_loss(parts, model, own), rtol=1e-4, atol=1e-5
        )
        assert not torch.equal(model(own).noise, model(batch).noise)
    assert own.base_ids.shape == GeneratorPrompts(parts, TEMPLATES, 2).product(names).shape


def test_a_plain_one_is_an_ordinary_controlnet(tiny_painter: DiffusionConfig) -> None:
    settings = SETTINGS.model_copy(update={"plain": True})
    parts, model = make_model(tiny_painter, ("category",), settings=settings)
    batch = make_batch(parts, dropout=0.0)
    batch = batch._replace(base_ids=batch.product_ids)
    copy = model.generator("category").copy
    ordinary = ControlNetModel.from_config(copy.config)
    ordinary.load_state_dict(copy.state_dict())  # with diffusers' own attention
    inputs, target, _ = denoiser_inputs(model, batch)
    with torch.no_grad():
        found = model(batch)
        states = model.backbone.encode(list(model.texts), batch.product_ids).states
        image = batch.image * batch.product_mask
        down, middle = ordinary(inputs, batch.timesteps, states, image, return_dict=False)
        predicted = parts.denoiser(
            inputs,
            batch.timesteps,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
    torch.testing.assert_close(found.noise, (predicted - target).square().mean((1, 2, 3)))
    assert list(trained_groups(model)) == ["copy"]  # nothing reads the identifiers
