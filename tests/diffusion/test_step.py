"""The train step: what it feeds the UNet, what learns, and that sharing a batch changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.step import draw, product2img_loss, recompute_activations, trained_groups
from tests.support import reference
from tests.support.make_batch import make_batch, make_model
from tests.support.tiny_xl import XlModels, build_xl
from tests.support.two_workers import assert_same, step

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "settings",
    [{"contrastive_weight": 0.01}, {}, {"min_snr_gamma": 5.0}, {"token": None}, {"token": None, "min_snr_gamma": 1.0}],
    ids=["lambda of the paper", "a large lambda", "min-SNR", "no token", "no token, min-SNR"],
)
def test_loss_and_gradients_are_eq_5_written_out(tiny_painter: DiffusionConfig, settings: dict[str, Any]) -> None:
    check_eq_5(tiny_painter, settings)


def test_also_on_what_stable_diffusion_2_has_otherwise(second_painter: DiffusionConfig) -> None:
    check_eq_5(second_painter, {"contrastive_weight": 0.01})


@pytest.mark.parametrize(
    ("aligned", "settings"),
    [(0, {"contrastive_weight": 0.01}), (1, {}), (1, {"token": None, "min_snr_gamma": 5.0})],
    ids=["CLIP of the first encoder", "of the second", "no token"],
)
def test_on_stable_diffusion_xl(xl_models: XlModels, aligned: int, settings: dict[str, Any]) -> None:
    check_eq_5(xl_models.painter(aligned), settings)


def test_xl_whose_empty_prompt_is_encoded(tmp_path: Path) -> None:
    clips = tmp_path / "first", tmp_path / "second"
    build_xl(tmp_path / "base", clips, zeros_for_empty=False)
    check_eq_5(DiffusionConfig(base=str(tmp_path / "base"), clip=str(clips[0])), {})


def check_eq_5(painter: DiffusionConfig, settings: dict[str, Any]) -> None:
    changes = dict(settings)
    diffusion = painter.model_copy(update={"token": changes.pop("token", painter.token)})
    parts, model = make_model(diffusion, **changes)
    batch = make_batch(parts, range(4))
    assert batch.dropped.any() and not batch.dropped.all()
    losses = product2img_loss(model, batch, batch)
    losses.total.backward()

    plain = loading.load(diffusion.base, diffusion)
    chosen = model.settings
    expected, inpaint, background, name = reference.loss(
        plain,
        batch,
        empty=model.empty_ids,
        projection=loading.load_projection(diffusion),
        weight=chosen.contrastive_weight,
        tau=chosen.temperature,
        gamma=chosen.min_snr_gamma,
    )
    expected.backward()
    got = torch.stack([losses.total, losses.inpaint.mean(), losses.cl_background, losses.cl_name])
    torch.testing.assert_close(got, torch.stack([expected, inpaint, background, name]), rtol=1e-4, atol=1e-4)
    for part, theirs in plain.networks.items():
        ours = model.get_submodule(part)
        wanted = {n: p.grad for n, p in theirs.named_parameters() if "token_embedding" not in n}
        for parameter_name, parameter in ours.named_parameters():
            if "token_embedding" not in parameter_name:
                expected_grad = wanted.pop(parameter_name)
                assert parameter.requires_grad == (expected_grad is not None), f"{part} {parameter_name}"
                if expected_grad is not None:
                    same_gradient(parameter.grad, expected_grad, f"{part} {parameter_name}")
        assert not wanted
    assert len(model.background_rows) == len(parts.token_ids) == len(plain.token_ids)
    for row, encoder, token_id in zip(model.background_rows, plain.text_encoders, parts.token_ids, strict=False):
        rows = encoder.get_input_embeddings().weight.grad
        same_gradient(row.grad, rows[token_id], "<background>")
        assert rows[:token_id].abs().sum() > 0  # which the model leaves out


def same_gradient(got: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    largest = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4 * largest + 1e-6, msg=lambda m: f"{name}: {m}")


def test_gradients_reach_what_the_paper_trains(tiny_painter: DiffusionConfig) -> None:
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


@pytest.mark.parametrize(
    ("token", "settings", "expected"),
    [
        ("<background>", {}, ["unet", "token", "text"]),
        ("<background>", {"lr_text": 0}, ["unet", "token"]),
        (None, {}, ["unet", "text"]),
        (None, {"lr_text": 0}, ["unet"]),
        ("<background>", {"lora_rank": 2}, ["unet", "token", "text"]),
        (None, {"lora_rank": 2, "lr_text": 0}, ["unet"]),
    ],
)
def test_groups_are_all_that_learns(
    tiny_painter: DiffusionConfig, token: str | None, settings: dict[str, Any], expected: list[str]
) -> None:
    parts, model = make_model(tiny_painter.model_copy(update={"token": token}), **settings)
    groups = trained_groups(model)
    assert list(groups) == expected
    model(*[make_batch(parts, range(4))] * 2).total.backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    grouped = {id(p) for group in groups.values() for p in group}
    assert {name for name, p in model.named_parameters() if id(p) in grouped} == reached
    assert len(grouped) == sum(len(group) for group in groups.values())
    frozen = "text_encoder.embeddings.token_embedding.weight"
    assert (frozen in dict(model.named_parameters())) == (token is None) and frozen not in reached
    if "lora_rank" not in settings:
        assert len(groups["unet"]) == len(list(parts.denoiser.parameters()))
    if token:
        assert groups["token"] == [model.background_rows[0]]


def test_without_a_token_the_background_has_no_part(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter.model_copy(update={"token": None}))
    batch = make_batch(parts, range(4))
    losses = product2img_loss(model, batch, batch)
    assert losses.cl_background.item() == 0
    assert losses.total.item() == pytest.approx((losses.inpaint.mean() + 0.5 * losses.cl_name).item())
    other = product2img_loss(model, *[batch._replace(background_clip=batch.background_clip.roll(1, 0))] * 2)
    assert other.total.item() == losses.total.item()


def test_channels_last_changes_the_layout_alone(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter, channels_last=True)
    layouts = []

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        layouts.append([tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (inputs[0], output)])

    convolutions = [module for module in model.denoiser.modules() if isinstance(module, torch.nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(look)
    assert model.denoiser.conv_in.weight.is_contiguous()  # as ZeRO leaves it, too
    batch = make_batch(parts, range(4))
    losses = model(batch, batch)
    losses.total.backward()
    assert layouts == [[True, True]] * len(convolutions) and len(convolutions) > 20
    _, usual = make_model(tiny_painter)
    expected = usual(batch, batch)
    expected.total.backward()
    torch.testing.assert_close(losses.total, expected.total, rtol=1e-5, atol=1e-5)
    for (name, parameter), other in zip(model.named_parameters(), usual.parameters(), strict=True):
        same_gradient(parameter.grad, other.grad, name)


def test_each_contrastive_term_reads_its_own_place(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter)
    batch = make_batch(parts, range(4), dropout=0)
    base = product2img_loss(model, batch, batch)
    moved = batch._replace(background_clip=batch.background_clip.roll(1, 0))
    other = product2img_loss(model, moved, moved)
    assert other.cl_name.item() == pytest.approx(base.cl_name.item())
    assert other.cl_background.item() != pytest.approx(base.cl_background.item(), abs=1e-3)


def test_dropped_names_keep_their_part_in_the_contrastive_terms(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter)
    batch = make_batch(parts, range(4))
    named, dropped = (batch._replace(dropped=torch.full((4,), value)) for value in (False, True))
    with_names, without = product2img_loss(model, named, named), product2img_loss(model, dropped, dropped)
    assert with_names.cl_background.item() == pytest.approx(without.cl_background.item())
    assert not torch.equal(with_names.inpaint, without.inpaint)


@pytest.mark.parametrize("token", ["<background>", None])
@pytest.mark.parametrize("settings", [{}, {"lora_rank": 2}, {"lora_rank": 2, "lr_text": 0}])
def test_recomputing_activations_changes_no_gradient(
    tiny_painter: DiffusionConfig, token: str | None, settings: dict[str, Any]
) -> None:
    gradients = []
    for recompute in (False, True):
        parts, model = make_model(tiny_painter.model_copy(update={"token": token}), **settings)
        if recompute:
            recompute_activations(parts)
        model(*[make_batch(parts, range(4))] * 2).total.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-5, atol=1e-6)


def test_a_row_draws_the_same_wherever_it_is_trained() -> None:
    whole = draw(1, 5, range(8), latent=(4, 8, 8), timesteps=1000, prompt_dropout=0.5)
    part = draw(1, 5, range(4, 8), latent=(4, 8, 8), timesteps=1000, prompt_dropout=0.5)
    for all_rows, some in zip(whole, part, strict=True):
        assert torch.equal(all_rows[4:], some)
    assert not torch.equal(
        draw(1, 6, range(8), latent=(4, 8, 8), timesteps=1000, prompt_dropout=0.5).noise, whole.noise
    )
    assert whole.noise.std().item() == pytest.approx(1, abs=0.05)
    assert len(set(whole.timesteps.tolist())) > 4


def test_micro_batches_have_the_gradients_of_the_whole(tiny_painter: DiffusionConfig) -> None:
    assert_same(step(tiny_painter, micro_batches=2), step(tiny_painter))
