"""Mask-guided cross-attention against its formula in plain torch, and the masks of layers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from p2i_ray.generators.masked_attention import (
    BackgroundCrossAttention,
    LayerMasks,
    MaskGuidedCrossAttention,
    OrdinaryAttention,
    guide,
    layer_masks,
)

SIZE = 4, 6  # of the layer's cells


def layer(**options: Any) -> Attention:
    torch.manual_seed(0)
    return Attention(query_dim=8, cross_attention_dim=12, heads=2, dim_head=4, **options).requires_grad_(False)


def inputs(rows: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells (B, T, 8), and two texts (B, 5, 12)."""
    generator = torch.Generator().manual_seed(1)
    cells = torch.randn(rows, math.prod(SIZE), 8, generator=generator)
    return cells, *torch.randn(2, rows, 5, 12, generator=generator)


def masks_of(mask: torch.Tensor) -> LayerMasks:
    return LayerMasks(mask, SIZE, levels=2)


def plain(attn: Any, cells: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Attn(Q, K(P), V(P)) of each row and head, from the definition of attention."""
    rows = []
    for cell, words in zip(cells, text, strict=True):
        query, key, value = cell @ attn.to_q.weight.T, words @ attn.to_k.weight.T, words @ attn.to_v.weight.T
        heads = [
            torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(4), dim=-1) @ value[:, part]
            for part in (slice(0, 4), slice(4, 8))
        ]
        rows.append(torch.cat(heads, dim=1) @ attn.to_out[0].weight.T + attn.to_out[0].bias)
    return torch.stack(rows)


def test_it_is_the_formula() -> None:
    attn, (cells, product, background) = layer(), inputs()
    mask = torch.rand(3, 1, *SIZE, generator=torch.Generator().manual_seed(2))
    own = MaskGuidedCrossAttention()(
        attn, cells, encoder_hidden_states=torch.cat([product, background], 1), masks=masks_of(mask)
    )
    m = mask.reshape(3, -1, 1)
    expected = m * plain(attn, cells, product) + (1 - m) * plain(attn, cells, background)
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-6)
    assert (plain(attn, cells, product) - plain(attn, cells, background)).abs().max() > 0.01  # the texts matter


@pytest.mark.parametrize(("value", "which"), [(1.0, 0), (0.0, 1)])
def test_with_a_mask_all_one_or_all_zero_it_is_ordinary_cross_attention(value: float, which: int) -> None:
    attn, (cells, *texts) = layer(), inputs()
    own = MaskGuidedCrossAttention()(
        attn, cells, encoder_hidden_states=torch.cat(texts, 1), masks=masks_of(torch.full((3, 1, *SIZE), value))
    )
    assert torch.equal(own, AttnProcessor2_0()(attn, cells, texts[which]))


def test_product_and_background_read_their_own_text_alone() -> None:
    attn, (cells, product, background) = layer(), inputs()
    mask = torch.zeros(3, 1, *SIZE)
    mask[..., :2, :] = 1  # the upper half
    run = MaskGuidedCrossAttention()
    before, after = (
        run(attn, cells, encoder_hidden_states=torch.cat([product, text], 1), masks=masks_of(mask))
        for text in (background, background + 1)
    )
    upper, lower = (before - after).abs().chunk(2, dim=1)
    assert not upper.any() and lower.amax(-1).min() > 0


def test_of_the_background_alone_nothing_is_left_where_the_product_is() -> None:
    attn, (cells, text, _) = layer(), inputs()
    mask = torch.rand(3, 1, *SIZE, generator=torch.Generator().manual_seed(2))
    mask[..., 0, 0] = 1
    own = BackgroundCrossAttention()(attn, cells, encoder_hidden_states=text, masks=masks_of(mask))
    torch.testing.assert_close(own, (1 - mask.reshape(3, -1, 1)) * plain(attn, cells, text), rtol=1e-5, atol=1e-6)
    assert not own[:, 0].any()


def test_a_layer_s_mask_is_the_share_of_each_cell_that_the_product_covers() -> None:
    mask = torch.zeros(1, 1, 4, 8)
    mask[..., 0, :3] = 1  # three pixels of the top row
    masks = LayerMasks(mask, (4, 8), levels=3)
    torch.testing.assert_close(masks.at(4, 8), mask)
    torch.testing.assert_close(masks.at(2, 4)[0, 0], torch.tensor([[0.5, 0.25, 0, 0], [0, 0, 0, 0]]))
    torch.testing.assert_close(masks.of_tokens(2)[0, :, 0], torch.tensor([3 / 16, 0]))  # 1 x 2 cells of 16 pixels
    torch.testing.assert_close(masks.of_tokens(8)[0, :, 0], torch.tensor([0.5, 0.25, 0, 0, 0, 0, 0, 0]))


@pytest.mark.parametrize(("padded", "counts"), [(True, (35, 12, 4)), (False, (35, 6, 1))])
def test_odd_sizes_are_halved_as_the_network_does(padded: bool, counts: tuple[int, ...]) -> None:
    masks = LayerMasks(torch.ones(1, 1, 10, 14), (5, 7), levels=3, padded=padded)  # 3x4 and 2x2, or 2x3 and 1x1
    for count in counts:
        assert masks.of_tokens(count).shape == (1, count, 1) and masks.of_tokens(count).eq(1).all()
    with pytest.raises(ValueError, match=r"no layer of \[\(5, 7\).* has 5 cells"):
        masks.of_tokens(5)


def network(**options: Any) -> ControlNetModel:
    torch.manual_seed(3)
    made = ControlNetModel(
        in_channels=9,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        cross_attention_dim=12,
        attention_head_dim=4,
        norm_num_groups=4,
        layers_per_block=1,
        conditioning_embedding_out_channels=(4, 8),
        **options,
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.requires_grad_(False)


def run(made: ControlNetModel, text: torch.Tensor, size: tuple[int, int], **more: Any) -> list[torch.Tensor]:
    """The network's outputs for two rows."""
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(2, 9, *size, generator=generator)
    picture = torch.rand(2, 3, *(2 * side for side in size), generator=generator)
    downs, middle = made(latents, torch.tensor([3, 500]), text, picture, return_dict=False, **more)
    return [*downs, middle]


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (5, 7)])
def test_a_network_with_a_mask_all_one_is_diffusers_own(size: tuple[int, int]) -> None:
    made = network()
    text, other = torch.randn(2, 2, 5, 12, generator=torch.Generator().manual_seed(5))
    expected = run(made, text, size)
    guide(made, "product_and_background")
    kinds = {type(processor) for processor in made.attn_processors.values()}
    assert kinds == {MaskGuidedCrossAttention, OrdinaryAttention}
    masks = [
        layer_masks(made, torch.full((2, 1, *(2 * side for side in size)), value), size) for value in (1.0, 0.0, 0.5)
    ]
    both = torch.cat([text, other], 1)
    whole, none, half = (run(made, both, size, cross_attention_kwargs={"masks": mask}) for mask in masks)
    for own, theirs in zip(whole, expected, strict=True):
        assert torch.equal(own, theirs)
    assert not torch.equal(none[-1], expected[-1]) and not torch.equal(half[-1], expected[-1])
    guide(made, "background_only")
    for own, theirs in zip(run(made, text, size, cross_attention_kwargs={"masks": masks[1]}), expected, strict=True):
        assert torch.equal(own, theirs)  # there is no product


def test_recomputing_activations_changes_no_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        made = network().requires_grad_(True)
        guide(made, "product_and_background")
        if recompute:
            made.enable_gradient_checkpointing()
        made.train()
        text = torch.randn(2, 10, 12, generator=torch.Generator().manual_seed(5))
        mask = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(6))
        outputs = run(made, text, (8, 8), cross_attention_kwargs={"masks": layer_masks(made, mask, (8, 8))})
        sum(output.square().mean() for output in outputs).backward()
        gradients.append({name: parameter.grad for name, parameter in made.named_parameters()})
    assert all(value is not None and value.abs().sum() > 0 for n, value in gradients[0].items() if "class" not in n)
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value)
