"""The plan: parameters and bytes worked out by hand, activations against what torch really allocated."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from p2i_ray.cli import main
from p2i_ray.config import Config, PainterConfig, PlanConfig, TrainConfig, load
from p2i_ray.diffusion import folder
from p2i_ray.diffusion.plan import full_size
from p2i_ray.diffusion.plan import needs as plan
from p2i_ray.diffusion.plan import text as plan_text
from p2i_ray.diffusion.plan.full_size import PUBLISHED
from p2i_ray.diffusion.plan.live import LiveBytes
from p2i_ray.diffusion.step import Batch, Product2Img, recompute_activations
from p2i_ray.errors import UserError

ROOT = Path(__file__).parents[3]
UNET = (
    859_535_364  # Stable Diffusion 1.5's inpainting UNet: 859,520,964 of the plain one + 5 more channels x 320 x 3 x 3
)
# CLIP ViT-L/14's text tower without its 49,408 token embeddings: 77 positions; 12 layers of attention (4 matrices),
# a perceptron 3,072 wide and two norms; a last norm; and the row of <background>.
LAYER = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 2 * 2 * 768
TEXT = 77 * 768 + 12 * LAYER + 2 * 768 + 768


def test_the_published_model_has_its_published_size() -> None:
    sizes = plan.sizes(PUBLISHED, TrainConfig())
    assert sizes == (UNET, TEXT, 0, 49_409 * 768 + 768 * 768)
    assert UNET == 859_520_964 + 5 * 320 * 9 and TEXT == 85_115_904
    frozen = plan.sizes(PUBLISHED, TrainConfig(lr_text=0))
    assert frozen == (UNET, 768, TEXT - 768, sizes.buffers)


@pytest.mark.parametrize(
    ("stage", "dtype", "weights", "states", "gradients"),
    [
        # the paper's four workers; bf16: 2 bytes a weight and a gradient, 4 + 4 + 4 of master weight and Adam
        (0, "bf16", 2, 12, 2),
        (1, "bf16", 2, 12 / 4, 2),
        (2, "bf16", 2, 12 / 4, 2 / 4),
        (0, "fp32", 4, 8, 4),  # the weights are their own masters
        (2, "fp32", 4, 12 / 4, 4 / 4),
    ],
)
def test_bytes_of_each_stage(stage: int, dtype: str, weights: float, states: float, gradients: float) -> None:
    settings = TrainConfig(zero_stage=stage, dtype=dtype, batch_size=4)
    trained = UNET + TEXT  # 944,651,268; by four without a remainder
    need = plan.need(PUBLISHED, settings, 64)
    assert trained % 4 == 0
    assert need.weights == weights * trained + 4 * (49_409 * 768 + 768 * 768)
    assert need.optimizer == states * trained
    assert need.gradients == gradients * trained
    assert need.bucket == (500_000_000 * (2 if dtype == "bf16" else 4) if stage else 0)


def test_states_of_the_papers_setting_in_bytes() -> None:
    need = plan.need(PUBLISHED, TrainConfig(), 512)
    assert need.optimizer == 2_833_953_804  # 944,651,268 x 12 / 4
    assert need.gradients == 472_325_634
    assert 13e9 < need.activations < 20e9
    recomputed = plan.need(PUBLISHED, TrainConfig(gradient_checkpointing=True), 512)
    assert recomputed.activations < need.activations / 3
    assert need.peak == need.weights + need.optimizer + need.gradients + need.bucket + need.activations


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulation": 4},
        {"gradient_checkpointing": True},
        {"dtype": "bf16"},
    ],
    ids=["plain", "micro-batches", "recomputed", "bf16"],
)
def test_activations_are_what_torch_allocates(tiny_painter: PainterConfig, changes: dict[str, object]) -> None:
    settings = TrainConfig(**{"batch_size": 8, "workers": 1, "dtype": "fp32", "num_gpus": 0, **changes})
    resolution = 64
    model, batch = real_step(tiny_painter, settings, resolution)
    micros = settings.accumulation
    measured, kept = allocated(model, batch, micros), saved(model, batch, micros)
    estimate = plan.activations(full_size.read(tiny_painter.base), settings, resolution)
    assert estimate == pytest.approx(measured, rel=0.1)
    assert estimate >= kept
    if not settings.gradient_checkpointing:
        assert estimate == pytest.approx(kept, rel=0.1)
    assert plan.peak_of_step(model, batch, micros) == pytest.approx(estimate, rel=0.01)  # real and fake tensors


def real_step(painter: PainterConfig, settings: TrainConfig, resolution: int) -> tuple[Product2Img, Batch]:
    parts = folder.load(painter.base, painter.token, painter.token_from)
    if settings.gradient_checkpointing:
        recompute_activations(parts)
    model = Product2Img(parts, folder.load_projection(painter), 0.05, 0.01)
    full_size.cast_parameters(model, plan.DTYPES[settings.dtype])
    batch = full_size.random_batch(parts, painter.token, settings.batch_size, resolution, len(model.projection))
    return model, batch


def last_micro_batch(batch: Batch, micros: int) -> Batch:
    return batch if micros == 1 else list(batch.micro_batches(micros))[-1]


def allocated(model: Product2Img, batch: Batch, micros: int) -> int:
    """The most that torch's allocator had given out, by its profiler; gradients of parameters go at once."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    hooks = [p.register_post_accumulate_grad_hook(drop) for p in model.parameters()]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        model(last_micro_batch(batch, micros), batch, micros).total.backward()
    for hook in hooks:
        hook.remove()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def saved(model: Product2Img, batch: Batch, micros: int) -> int:
    """What autograd keeps for the backward pass."""
    given = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers(), *batch)}
    storages = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = model(last_micro_batch(batch, micros), batch, micros)
    assert losses.total.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


def test_live_bytes_are_counted_by_hand() -> None:
    before = torch.zeros(1000)
    with LiveBytes() as live:
        live.leave_out(before)
        a = before + 1  # 4,000 bytes
        view = a.reshape(10, 100)
        b = torch.cat([a, a])  # 8,000
        assert live.now == 12_000
        del b
        assert live.now == 4_000
        c = view * 2
        del a, view
        assert live.now == c.nbytes == 4_000
    assert live.peak == 12_000


def test_hours_and_dollars_by_hand() -> None:
    settings = TrainConfig()
    cost = plan.cost(settings, 512, 3000, PlanConfig(images_per_s=20, usd_per_gpu_hour=3))
    assert cost == (192_000, 80, pytest.approx(2 / 3), pytest.approx(2 / 3 * 4 * 3))
    assert plan.default_images_per_s(settings, 512) == 36
    assert plan.default_images_per_s(settings, 256) == pytest.approx(1100 / 8, rel=0.06)  # published as well
    assert plan.cost(TrainConfig(num_gpus=0), 64, 10, PlanConfig()) is None
    on_cpus = plan.cost(TrainConfig(num_gpus=0, workers=2), 64, 10, PlanConfig(images_per_s=5))
    assert on_cpus is not None and (on_cpus.images_per_s, on_cpus.usd) == (10, 0)


@pytest.mark.parametrize("preset", ["a100x4", "gpu24gb", "mini"])
def test_every_preset_has_a_plan(preset: str) -> None:
    config = load(Config, preset)
    text = "\n".join(plan_text.as_lines(config.painter.base, config.train, config.image.resolution, 30, PlanConfig()))
    assert ("859,535,364" in text) == (preset != "mini")
    assert "need" in text and "images       " in text and "FIT" not in text


def test_the_verdict_is_plain_and_mistakes_are_named() -> None:
    settings = TrainConfig()

    def lines(**values: float) -> str:
        return "\n".join(plan_text.as_lines("nowhere", settings, 512, 10, PlanConfig(**values)))

    assert "fits: it needs 20.6 of 80 GiB" in lines(gpu_memory_gib=80)
    assert "DOES NOT FIT: it needs 20.6 of 16 GiB" in lines(gpu_memory_gib=16)
    assert "TIGHT" in lines(gpu_memory_gib=21)
    with pytest.raises(UserError, match="make it a multiple of 4"):
        plan_text.as_lines("nowhere", TrainConfig(batch_size=6), 512, 10, PlanConfig())
    with pytest.raises(UserError, match="multiple of 8"):
        plan_text.as_lines("nowhere", settings, 508, 10, PlanConfig())


def test_the_job_plans_without_data_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    job = runpy.run_path(str(ROOT / "jobs" / "train.py"))

    def call(*argv: str) -> str:
        main(job["TrainJob"], job["__doc__"], job["run"], argv, [job["PLAN"]])
        return capsys.readouterr().out

    assert "US dollars" in call("--config", "a100x4", "--plan", "steps=10")
    assert "320 = 10 steps x 32" in call("--config", "mini", "--plan", "steps=10", "data=x", "out=y")
    with pytest.raises(SystemExit):
        call("--config", "mini", "--plan", "model=nowhere")
    assert capsys.readouterr().err.startswith("error: model folder ")
    with pytest.raises(SystemExit):
        call("--config", "mini", "data=x")
    assert "'out' is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("--help")
    assert "--plan" in capsys.readouterr().out
