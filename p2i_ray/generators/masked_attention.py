"""Attention within a copy of the denoiser's encoder that knows where the product is.

Category-Wise Generator: a product's pixels attend to what the product is, all others to the background's identifier,
M Attn(Q, K(P_fg), V(P_fg)) + (1 - M) Attn(Q, K(P_bg), V(P_bg)). Personality-Wise Generator: what cross-attention gives
is masked by 1 - M, so that a reference's style doesn't reach the product.

M at a layer is the share of each of its cells that the product covers, so masks are soft at the product's edge, their
two parts add up to 1 everywhere, and no product is so thin that a coarse layer loses it.

The processors hold no weights: they are set on diffusers' own ControlNetModel, whose files stay as they are.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch.nn import functional

Guidance = Literal["product_and_background", "background_only", "none"]

_ORDINARY: Any = AttnProcessor2_0()  # type: ignore[no-untyped-call]  # diffusers' own attention


class LayerMasks:
    """The product's mask, at the size of every layer of a network."""

    def __init__(self, mask: torch.Tensor, latent: tuple[int, int], *, levels: int, padded: bool = True) -> None:
        """Find out the layers' sizes; masks are made when they are asked for, and kept.

        Args:
            mask: (B, 1, H, W), 0 to 1, 1 where the product is; of any size, at best that of the pictures.
            latent: height and width of the network's input.
            levels: resolutions that the network works at, each half of the one before.
            padded: whether its downsampling pads both sides, so that odd sizes are rounded up, or one (down).
        """
        self._mask = mask
        self._found: dict[tuple[int, int], torch.Tensor] = {}
        sizes = [latent]
        for _ in range(levels - 1):
            height, width = sizes[-1]
            sizes.append(((height + padded) // 2, (width + padded) // 2))
        self._sizes = {height * width: (height, width) for height, width in sizes}

    def at(self, height: int, width: int) -> torch.Tensor:
        """The share of each cell that the product covers, (B, 1, height, width)."""
        size = height, width
        if size not in self._found:
            self._found[size] = functional.interpolate(self._mask, size=size, mode="area")
        return self._found[size]

    def of_tokens(self, count: int) -> torch.Tensor:
        """The same for a layer whose cells are `count` tokens, row by row: (B, count, 1)."""
        if count not in self._sizes:
            raise ValueError(f"no layer of {list(self._sizes.values())} (height, width) has {count} cells")
        return self.at(*self._sizes[count]).flatten(2).transpose(1, 2)


class MaskGuidedCrossAttention:
    """Cross-attention to two texts, one where the product is and one where it is not.

    The texts come one after the other: `encoder_hidden_states` (B, 2L, d) is P_fg, then P_bg.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        masks: LayerMasks,
    ) -> torch.Tensor:
        """M Attn(Q, K(P_fg), V(P_fg)) + (1 - M) Attn(Q, K(P_bg), V(P_bg)), (B, T, c).

        The two parts are added before the output's projection, which is linear: so it is computed once.
        """
        assert encoder_hidden_states is not None and attention_mask is None
        product, background = encoder_hidden_states.chunk(2, dim=1)
        mask = masks.of_tokens(hidden_states.shape[1]).to(hidden_states.dtype)
        query = _heads(attn, attn.to_q(hidden_states))
        blended = mask * _attend(attn, query, product) + (1 - mask) * _attend(attn, query, background)
        projection, dropout = cast(Any, attn.to_out)
        return cast(torch.Tensor, dropout(projection(blended)))


class BackgroundCrossAttention:
    """diffusers' own cross-attention, of whose output nothing is left where the product is."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        masks: LayerMasks,
    ) -> torch.Tensor:
        """(1 - M) Attn(Q, K(P), V(P)), (B, T, c)."""
        output: torch.Tensor = _ORDINARY(attn, hidden_states, encoder_hidden_states, attention_mask)
        return output * (1 - masks.of_tokens(hidden_states.shape[1])).to(output.dtype)


class OrdinaryAttention:
    """diffusers' own attention; it is given the masks, too, and needs none."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        masks: LayerMasks,
    ) -> torch.Tensor:
        """Attn(Q, K, V) of the layer's own cells, or of a text's tokens: (B, T, c)."""
        return cast(torch.Tensor, _ORDINARY(attn, hidden_states, encoder_hidden_states, attention_mask))


def guide(network: ControlNetModel, how: Guidance) -> None:
    """Have a network's cross-attention know where the product is.

    From then on it is called with `cross_attention_kwargs={"masks": LayerMasks}`.
    """
    own: Any = OrdinaryAttention()
    cross: Any = own
    if how != "none":
        cross = MaskGuidedCrossAttention() if how == "product_and_background" else BackgroundCrossAttention()
    network.set_attn_processor(
        {
            name: cross if _reads_text(network, name.removesuffix(".processor")) else own
            for name in network.attn_processors
        }
    )


def layer_masks(network: ControlNetModel, mask: torch.Tensor, latent: tuple[int, int]) -> LayerMasks:
    """A mask (B, 1, H, W) at the size of every layer of a network whose input has this height and width."""
    config: Any = network.config
    return LayerMasks(mask, latent, levels=len(config.block_out_channels), padded=bool(config.downsample_padding))


def _reads_text(network: ControlNetModel, layer: str) -> bool:
    attention: Any = network.get_submodule(layer)
    plain = [attention.spatial_norm, attention.group_norm, attention.norm_cross, attention.norm_q, attention.norm_k]
    assert not any(plain) and attention.rescale_output_factor == 1, f"{layer} is no attention of Stable Diffusion's"
    return bool(attention.is_cross_attention)


def _heads(attn: Attention, values: torch.Tensor) -> torch.Tensor:
    """(B, T, c) as (B, heads, T, c / heads)."""
    return values.reshape(*values.shape[:2], attn.heads, -1).transpose(1, 2)


def _attend(attn: Attention, query: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Attn(Q, K(P), V(P)) before the output's projection, (B, T, c)."""
    key, value = _heads(attn, attn.to_k(text)), _heads(attn, attn.to_v(text))
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
