"""Copies beside a frozen base: what they add, what learns, and that both together are the sum."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.generators.base import load_base
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Control, ControlledDenoiser, copy_of, picture_widths
from p2i_ray.generators.personality import PersonalityGenerator
from tests.support.make_generators import BOTH, SETTINGS, make_generators
from tests.support.tiny_models import WIDTH
from tests.support.tiny_xl import XlModels

PLAIN = SETTINGS.model_copy(update={"base": "text_to_image"})


def inputs(channels: int = 9, rows: int = 2, *, text: int = WIDTH) -> dict[str, Any]:
    """A call of a denoiser, without controls."""
    generator = torch.Generator().manual_seed(0)
    return {
        "sample": torch.randn(rows, channels, 8, 8, generator=generator),
        "timestep": torch.tensor([5, 700])[:rows],
        "encoder_hidden_states": torch.randn(rows, 16, text, generator=generator),
    }


def controls(rows: int = 2, *, text: int = WIDTH) -> dict[str, Control]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(3, rows, 16, text, generator=generator)
    image, reference = torch.rand(2, rows, 3, 16, 16, generator=generator)
    mask = torch.zeros(rows, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    other = mask.roll(4, -1)
    return {
        "category": CategoryGenerator.control(states[0], states[1], image=image, mask=mask),
        "personality": PersonalityGenerator.control(states[2], reference=reference, reference_mask=other, mask=mask),
    }


def call(denoiser: ControlledDenoiser, call: dict[str, Any], given: dict[str, Control], **more: Any) -> torch.Tensor:
    output: torch.Tensor = denoiser(**call, cross_attention_kwargs={"controls": given}, **more).sample
    return output


def test_the_category_wise_copy_sees_the_product_alone_and_the_other_the_reference_s_background() -> None:
    given = controls()
    category, personality = given["category"], given["personality"]
    assert not category.picture[..., :4, :].any() and category.picture[..., 4:12, 4:12].min() > 0
    assert not personality.picture[..., 4:12, 8:16].any() and personality.picture[..., 4:12, :8].min() > 0
    assert category.states.shape == (2, 32, WIDTH) and personality.states.shape == (2, 16, WIDTH)


@pytest.mark.parametrize("kinds", [("category",), ("personality",), BOTH])
@pytest.mark.parametrize("masked", ["attention", "all"])
def test_new_copies_change_nothing_to_the_bit(
    tiny_painter: DiffusionConfig, kinds: tuple[str, ...], masked: str
) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    settings = SETTINGS.model_copy(update={"masked": masked})
    denoiser = ControlledDenoiser(parts.denoiser, make_generators(parts, kinds, settings=settings, noise=0))
    with torch.no_grad():
        expected = parts.denoiser(**inputs()).sample
        assert torch.equal(call(denoiser, inputs(), controls()), expected)
        moved = ControlledDenoiser(parts.denoiser, make_generators(parts, kinds, settings=settings))
        assert (call(moved, inputs(), controls()) - expected).abs().max() > 1e-3


def test_a_copy_has_the_base_s_weights_and_the_same_ones_for_a_seed(tiny_painter: DiffusionConfig) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    before = torch.random.get_rng_state()
    copies = [copy_of(parts.denoiser, 2, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [copy.state_dict() for copy in copies]
    base = parts.denoiser.state_dict()
    shared = [name for name in states[0] if name.startswith(("conv_in", "down_blocks", "mid_block", "time_emb"))]
    assert shared and all(torch.equal(states[0][name], base[name]) for name in shared)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    different = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert different and all(name.startswith("controlnet_cond_embedding") for name in different)
    zero = {name for name, value in states[0].items() if name.endswith("weight") and not value.any()}
    assert zero == {n for n in states[0] if n.startswith(("controlnet_down", "controlnet_mid")) and "weight" in n} | {
        "controlnet_cond_embedding.conv_out.weight"
    }


@pytest.mark.parametrize(
    ("factor", "widths"), [(1, (16,)), (2, (16, 32)), (8, (16, 32, 96, 256)), (16, (16, 32, 96, 256, 256))]
)
def test_pictures_are_read_at_the_latents_size(factor: int, widths: tuple[int, ...]) -> None:
    assert picture_widths(factor) == widths


def test_with_no_product_one_copy_is_diffusers_own_controlnet_beside_the_base(tiny_painter: DiffusionConfig) -> None:
    """And two are its MultiControlNet: their outputs are added, each with its weight."""
    parts = loading.load(tiny_painter.base, tiny_painter)
    made = make_generators(parts)
    states, picture, none = torch.randn(2, 16, WIDTH), torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    other = torch.rand(2, 3, 16, 16)
    given = {
        "category": Control(torch.cat([torch.randn(2, 16, WIDTH), states], 1), picture, none),
        "personality": Control(states, other, none),
    }
    made["category"].scale, made["personality"].scale = 0.5, 2.0
    stock = [ControlNetModel.from_config(made[kind].copy.config) for kind in BOTH]
    for network, kind in zip(stock, BOTH, strict=True):
        network.load_state_dict(made[kind].copy.state_dict())
    with torch.no_grad():
        down, middle = MultiControlNetModel(stock)(
            inputs()["sample"],
            inputs()["timestep"],
            encoder_hidden_states=states,
            controlnet_cond=[picture, other],
            conditioning_scale=[0.5, 2.0],
            return_dict=False,
        )
        more = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        expected = parts.denoiser(**inputs(), **more).sample
        own = call(ControlledDenoiser(parts.denoiser, made), inputs(), given)
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", ["attention", "all"])
def test_of_a_reference_s_style_nothing_is_added_where_the_product_is(
    tiny_painter: DiffusionConfig, masked: str
) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    settings = SETTINGS.model_copy(update={"masked": masked})
    [made] = make_generators(parts, ("personality",), settings=settings).values()
    with torch.no_grad():
        found = made(inputs()["sample"], inputs()["timestep"], controls()["personality"], None)
    for values in (*found.down, found.middle):
        share = values.shape[2] // 4  # the product covers the middle half of each side
        inside = values[..., share : 3 * share, share : 3 * share]
        assert values[..., 0, :].abs().min() > 0
        assert bool(inside.any()) == (masked == "attention")  # what attention alone masks leaks through the rest


def test_only_copies_and_identifiers_are_reached_by_gradients(tiny_painter: DiffusionConfig) -> None:
    parts = loading.load(tiny_painter.base, tiny_painter)
    denoiser = ControlledDenoiser(parts.denoiser, make_generators(parts))
    call(denoiser, inputs(), controls()).square().mean().backward()
    assert all(parameter.grad is None for parameter in denoiser.base.parameters())
    for kind in BOTH:
        without = {
            name
            for name, parameter in denoiser.generators[kind].copy.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        }
        assert not without


def test_beside_stable_diffusion_xl(xl_models: XlModels) -> None:
    painter = xl_models.painter()
    parts = loading.load(painter.base, painter)
    width = parts.denoiser.config.cross_attention_dim
    pooled = parts.text_encoders[1].config.projection_dim
    added = {"text_embeds": torch.randn(2, pooled), "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)}
    with torch.no_grad():
        expected = parts.denoiser(**inputs(text=width), added_cond_kwargs=added).sample
        new = ControlledDenoiser(parts.denoiser, make_generators(parts, noise=0))
        own = call(new, inputs(text=width), controls(text=width), added_cond_kwargs=added)
        assert torch.equal(own, expected)
        moved = ControlledDenoiser(parts.denoiser, make_generators(parts))
        assert not torch.equal(call(moved, inputs(text=width), controls(text=width), added_cond_kwargs=added), own)


def test_beside_a_plain_model_as_it_is(plain_painter: DiffusionConfig) -> None:
    from diffusers import UNet2DConditionModel

    parts = load_base(plain_painter.base, plain_painter, PLAIN)
    stock = UNet2DConditionModel.from_pretrained(plain_painter.base, subfolder="unet", local_files_only=True)
    assert parts.denoiser.config.in_channels == 4 and not parts.widened
    denoiser = ControlledDenoiser(parts.denoiser, make_generators(parts, noise=0))
    with torch.no_grad():
        assert torch.equal(call(denoiser, inputs(4), controls()), stock(**inputs(4)).sample)
