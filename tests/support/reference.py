"""Eq. 1 and 3 to 5 written out in plain torch, row by row, from the paper: shares no code with the package's step."""

from __future__ import annotations

from typing import Any

import torch


def alphas(scheduler: Any) -> torch.Tensor:
    """alpha_t of Eq. 1 (the product of all 1 - beta up to t), of Stable Diffusion's "scaled linear" betas."""
    settings = scheduler.config
    assert settings.beta_schedule == "scaled_linear"
    betas = torch.linspace(settings.beta_start**0.5, settings.beta_end**0.5, settings.num_train_timesteps) ** 2
    products, product = [], 1.0
    for beta in betas.tolist():
        product *= 1 - beta
        products.append(product)
    return torch.tensor(products)


def text_of(parts: Any, ids: torch.Tensor, eos: int) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor]]:
    """One prompt (E, L): what the UNet reads (L, d), what it adds to the time (p,), and the encoders' last states."""
    if len(ids) == 1:
        [last] = parts.text_encoders[0](ids).last_hidden_state
        return last, None, [last]
    first, second = parts.text_encoders
    one = first(ids[:1], output_hidden_states=True)
    two = second.text_model(ids[1:], output_hidden_states=True)
    states = torch.cat([one.hidden_states[1][0], two.hidden_states[1][0]], dim=1)  # after the first of two layers
    pooled = second.text_projection.weight @ two.last_hidden_state[0, eos]
    return states, pooled, [one.last_hidden_state[0], two.last_hidden_state[0]]


def nothing_of(parts: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """No prompt, as the UNet reads it; with XL's published settings all of it is zero."""
    states, pooled, _ = text_of(parts, ids, eos=1)
    if pooled is not None and parts.backbone.zeros_for_empty:
        return torch.zeros_like(states), torch.zeros_like(pooled)
    return states, pooled


def loss(
    parts: Any,
    batch: Any,
    *,
    empty: torch.Tensor,
    projection: Any,
    weight: float,
    tau: float,
    gamma: float | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """L of Eq. 5, and its three terms.

    Args:
        parts: UNet, text encoder, noise schedule and VAE, as loaded.
        batch: rows.
        empty: ids of the empty prompt, (1, E, L).
        projection: CLIP's text projection, (d_clip, d_text), and the number of the encoder that it belongs to.
        weight: lambda.
        tau: temperature.
        gamma: min-SNR's; none: unweighted.
    """
    scale, noise_levels = parts.vae.config.scaling_factor, alphas(parts.scheduler)
    inpaint, r_b, r_p = [], [], []
    for i in range(len(batch.input_ids)):
        # q(z | picture), a Gaussian given by mean and log-variance; then q(x_t | x_0), Eq. 1.
        mean, log_variance = batch.image_moments[i].chunk(2)
        x_0 = scale * (mean + torch.exp(log_variance / 2) * batch.image_noise[i])
        mean, log_variance = batch.product_moments[i].chunk(2)
        product = scale * (mean + torch.exp(log_variance / 2) * batch.product_noise[i])
        alpha = noise_levels[batch.timesteps[i]]
        x_t = torch.sqrt(alpha) * x_0 + torch.sqrt(1 - alpha) * batch.noise[i]
        text, pooled, last = text_of(parts, batch.input_ids[i], int(batch.eos_at[i]))
        if batch.dropped[i]:
            text, pooled = nothing_of(parts, empty[0])
        inputs = torch.cat([x_t, batch.mask[i], product])  # (9, h, w)
        side = [2 * size for size in x_t.shape[1:]]  # pixels: a latent of the tiny models covers two along a side
        added = None
        if pooled is not None:
            added = {"text_embeds": pooled[None], "time_ids": torch.tensor([[*side, 0.0, 0.0, *side]])}
        predicted = parts.denoiser(inputs[None], batch.timesteps[i], text[None], added_cond_kwargs=added).sample[0]
        error = ((batch.noise[i] - predicted) ** 2).mean()  # Eq. 3
        ratio = alpha / (1 - alpha)
        inpaint.append(error if gamma is None else error * min(ratio, torch.tensor(gamma)) / ratio)
        r_b.append(projection.weight @ last[projection.encoder][batch.background_at[i]])
        r_p.append(projection.weight @ last[projection.encoder][batch.eos_at[i]])
    l_inpaint = sum(inpaint) / len(inpaint)
    # Without a token there is no r_b, and so no term of it.
    l_background = symmetric(r_b, list(batch.background_clip), tau) if parts.token_ids else torch.tensor(0.0)
    l_name = symmetric(r_p, list(batch.image_clip), tau)
    return l_inpaint + weight * (l_background + l_name), l_inpaint, l_background, l_name  # Eq. 5


def symmetric(left: list[torch.Tensor], right: list[torch.Tensor], tau: float) -> torch.Tensor:
    """L'_cl."""
    return (contrast(left, right, tau) + contrast(right, left, tau)) / 2


def contrast(left: list[torch.Tensor], right: list[torch.Tensor], tau: float) -> torch.Tensor:
    """L_cl of Eq. 4, the mean over the batch."""
    terms = []
    for i, r in enumerate(left):
        similar = [torch.exp((r @ other) / (r.norm() * other.norm()) / tau) for other in right]
        negatives = sum(value for j, value in enumerate(similar) if j != i)
        terms.append(-torch.log(similar[i] / (similar[i] + negatives)))
    return sum(terms) / len(terms)
