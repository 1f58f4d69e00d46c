"""The train step: what it feeds the UNet, what learns, and that sharing a batch changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from diffusers import DDPMScheduler
from make_batch import make_batch, make_model
from torch.nn import functional
from two_workers import Result, step, work

from p2i_ray.config import PainterConfig
from p2i_ray.diffusion.step import draw, product2img_loss


def test_loss_is_eq_5_written_out(tiny_painter: PainterConfig) -> None:
    parts, model = make_model(tiny_painter, weight=0.01)
    model.eval()
    batch = make_batch(parts, range(4))
    alphas = DDPMScheduler.from_config(parts.scheduler.config).alphas_cumprod
    inpaint, r_b, r_p = [], [], []
    with torch.no_grad():
        losses = product2img_loss(model, batch, batch)
        for i in range(4):
            mean, logvar = batch.image_moments[i].chunk(2)
            latent = 0.9 * (mean + torch.exp(0.5 * logvar) * batch.image_noise[i])
            mean, logvar = batch.product_moments[i].chunk(2)
            product = 0.9 * (mean + torch.exp(0.5 * logvar) * batch.product_noise[i])
            alpha = alphas[batch.timesteps[i]]
            noisy = alpha.sqrt() * latent + (1 - alpha).sqrt() * batch.noise[i]  # Eq. 1
            hidden = parts.text_encoder(batch.input_ids[i : i + 1]).last_hidden_state
            empty = parts.text_encoder(model.empty_ids).last_hidden_state
            nine = torch.cat([noisy, batch.mask[i], product])[None]
            predicted = parts.unet(nine, batch.timesteps[i], empty if batch.dropped[i] else hidden).sample
            inpaint.append(((predicted - batch.noise[i]) ** 2).mean())
            r_b.append(model.projection @ hidden[0, batch.background_at[i]])
            r_p.append(model.projection @ hidden[0, batch.eos_at[i]])
    assert batch.dropped.any() and not batch.dropped.all()

    def contrast(texts: list[torch.Tensor], pictures: torch.Tensor) -> torch.Tensor:
        sims = torch.stack([functional.cosine_similarity(t[None], pictures) for t in texts]) / 0.05
        return -(sims.log_softmax(1).diagonal().mean() + sims.log_softmax(0).diagonal().mean()) / 2

    background, name = contrast(r_b, batch.background_clip), contrast(r_p, batch.image_clip)
    torch.testing.assert_close(losses.inpaint, torch.stack(inpaint), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.cl_background, background, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses.cl_name, name, rtol=1e-4, atol=1e-4)
    expected = torch.stack(inpaint).mean() + 0.01 * (background + name)
    torch.testing.assert_close(losses.total, expected, rtol=1e-4, atol=1e-4)


def test_gradients_reach_what_the_paper_trains(tiny_painter: PainterConfig) -> None:
    parts, model = make_model(tiny_painter)
    model(*[make_batch(parts, range(4))] * 2).total.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    # Adding a constant to all keys changes no attention: its gradient is zero by nature.
    assert {name for name in without if "k_proj.bias" not in name} == set()
    names = {name for name, _ in model.named_parameters()}
    assert {n for n in names if "embedding" in n and n.startswith("text")} == {
        "text_encoder.embeddings.token_embedding.row",
        "text_encoder.embeddings.position_embedding.weight",
    }
    assert "text_encoder.final_layer_norm.weight" in names
    assert not model.projection.requires_grad


def test_each_contrastive_term_reads_its_own_place(tiny_painter: PainterConfig) -> None:
    parts, model = make_model(tiny_painter)
    batch = make_batch(parts, range(4), dropout=0)
    base = product2img_loss(model, batch, batch)
    moved = batch._replace(background_clip=batch.background_clip.roll(1, 0))
    other = product2img_loss(model, moved, moved)
    assert other.cl_name.item() == pytest.approx(base.cl_name.item())
    assert other.cl_background.item() != pytest.approx(base.cl_background.item(), abs=1e-3)


def test_dropped_names_keep_their_part_in_the_contrastive_terms(tiny_painter: PainterConfig) -> None:
    parts, model = make_model(tiny_painter)
    batch = make_batch(parts, range(4))
    named, dropped = (batch._replace(dropped=torch.full((4,), value)) for value in (False, True))
    with_names, without = product2img_loss(model, named, named), product2img_loss(model, dropped, dropped)
    assert with_names.cl_background.item() == pytest.approx(without.cl_background.item())
    assert not torch.equal(with_names.inpaint, without.inpaint)


def test_frozen_text_encoder_leaves_only_the_row(tiny_painter: PainterConfig) -> None:
    _, model = make_model(tiny_painter, train_text=False)
    learning = [n for n, p in model.named_parameters() if p.requires_grad and not n.startswith("unet.")]
    assert learning == ["text_encoder.embeddings.token_embedding.row"]


def test_a_row_draws_the_same_wherever_it_is_trained() -> None:
    whole = draw(1, 5, range(8), (4, 8, 8), 1000, 0.5)
    part = draw(1, 5, range(4, 8), (4, 8, 8), 1000, 0.5)
    for all_rows, some in zip(whole, part, strict=True):
        assert torch.equal(all_rows[4:], some)
    assert not torch.equal(draw(1, 6, range(8), (4, 8, 8), 1000, 0.5).noise, whole.noise)
    assert whole.noise.std().item() == pytest.approx(1, abs=0.05)
    assert len(set(whole.timesteps.tolist())) > 4


def test_two_workers_have_the_loss_and_gradients_of_one(tiny_painter: PainterConfig, tmp_path: Path) -> None:
    out = tmp_path / "results.pt"
    mp.spawn(work, args=(2, tiny_painter, out), nprocs=2)
    for shared in torch.load(out):
        assert_same(shared, step(tiny_painter))


def test_micro_batches_have_the_gradients_of_the_whole(tiny_painter: PainterConfig) -> None:
    assert_same(step(tiny_painter, micro_batches=2), step(tiny_painter))


def assert_same(got: Result, expected: Result) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
