"""The plan: parameters and bytes worked out by hand, activations against what torch really allocated."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from p2i_ray.config import DiffusionConfig, PlanConfig, TrainConfig
from p2i_ray.diffusion.model import loading, lora
from p2i_ray.diffusion.step import Batch, Product2Img, recompute_activations, trained_groups
from p2i_ray.planning import architectures, full_size
from p2i_ray.planning import training_memory as plan
from p2i_ray.planning.architectures import PUBLISHED, PUBLISHED_XL
from p2i_ray.planning.live_memory import LiveBytes

pytestmark = pytest.mark.long

UNET = (
    859_535_364  # Stable Diffusion 1.5's inpainting UNet: 859,520,964 of the plain one + 5 more channels x 320 x 3 x 3
)
# CLIP ViT-L/14's text tower without its 49,408 token embeddings: 77 positions; 12 layers of attention (4 matrices),
# a perceptron 3,072 wide and two norms; a last norm; and the row of <background>.
LAYER = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 2 * 2 * 768
TEXT = 77 * 768 + 12 * LAYER + 2 * 768 + 768
# LoRA: a matrix from m to n has adapters of r x (m + n). The UNet's 16 blocks of attention are 5 of width 320, 5 of 640
# and 6 of 1280, each with four matrices for itself (d to d) and four for the text (two d to d, two 768 to d).
WIDTHS = [320] * 5 + [640] * 5 + [1280] * 6
LORA_UNET = sum((4 + 2) * (d + d) + 2 * (768 + d) for d in WIDTHS)
LORA_TEXT = 12 * 4 * (768 + 768)


def test_the_published_model_has_its_published_size() -> None:
    sizes = plan.sizes(PUBLISHED, TrainConfig())
    assert sizes[:4] == (UNET, TEXT, 0, 49_409 * 768 + 768 * 768)
    vae = 83_653_863  # as published
    assert sizes.whole == UNET + TEXT + vae
    assert UNET == 859_520_964 + 5 * 320 * 9 and TEXT == 85_115_904
    frozen = plan.sizes(PUBLISHED, TrainConfig(lr_text=0))
    assert frozen[:4] == (UNET, 768, TEXT - 768, sizes.buffers)
    no_token = plan.sizes(PUBLISHED, TrainConfig(), token=None)  # then the embeddings are parameters that don't learn
    assert no_token[:4] == (UNET, TEXT - 768, 49_408 * 768, 768 * 768)


def test_the_published_xl_has_its_published_size() -> None:
    sizes = plan.sizes(PUBLISHED_XL, TrainConfig())
    unet, first, second = 2_567_463_684, 123_060_480, 694_659_840  # as published, the UNet with 4 input channels
    tokens = 49_408 * (768 + 1280)
    assert sizes.unet == unet + 5 * 320 * 9
    assert (sizes.text, sizes.frozen) == (first + second - tokens + 768 + 1280, 0)
    assert sizes.buffers == 49_409 * (768 + 1280) + 768 * 768
    other = plan.sizes(PUBLISHED_XL._replace(aligned=1), TrainConfig())  # the first one's last layer learns nothing
    assert other.text + other.frozen == sizes.text and other.frozen == LAYER + 2 * 768


def test_lora_learns_adapters_and_the_row() -> None:
    sizes = plan.sizes(PUBLISHED, TrainConfig(lora_rank=8))
    assert sizes[:4] == (8 * LORA_UNET, 8 * LORA_TEXT + 768, UNET + TEXT - 768, 49_409 * 768 + 768 * 768)
    assert (LORA_UNET, LORA_TEXT) == (199_296, 73_728)
    assert plan.sizes(PUBLISHED, TrainConfig(lora_rank=8, lr_text=0))[:2] == (8 * LORA_UNET, 768)


def test_lora_needs_optimizer_and_gradients_for_what_learns_alone() -> None:
    settings = TrainConfig(lora_rank=8, num_workers=1, batch_size=1, mixed_precision="bf16")
    learns = 8 * (LORA_UNET + LORA_TEXT) + 768
    need = plan.states(plan.sizes(PUBLISHED, settings), settings)
    assert need.weights == 2 * (UNET + TEXT - 768 + learns) + 4 * (49_409 * 768 + 768 * 768)
    assert (need.optimizer, need.gradients, need.update) == (12 * learns, 4 * learns, 8 * learns)


def test_a_cpu_worker_also_has_its_libraries_and_saves_a_whole_model() -> None:
    settings = TrainConfig(lora_rank=8, num_workers=1, batch_size=1, num_gpus=0)
    counted = plan.sizes(PUBLISHED, settings)
    need = plan.states(counted, settings)
    assert need.saving == 4 * (counted.whole + counted.buffers) > need.step
    assert need.peak == need.process + need.weights + need.optimizer + need.saving
    assert plan.states(counted, settings.model_copy(update={"num_gpus": 1})).saving == 0


@pytest.fixture(scope="module")
def counted() -> plan.Sizes:
    return plan.sizes(PUBLISHED, TrainConfig())


@pytest.mark.parametrize(
    ("stage", "mixed_precision", "ema_decay", "weights", "states", "gradients"),
    [
        # the paper's four workers; bf16: 2 bytes a weight, 4 a sum of gradients, 4 + 4 + 4 of master weight and Adam
        (1, "bf16", 0.999, 2, 12 / 4, 4),
        (2, "bf16", None, 2, 12 / 4, 4 / 4),
        (0, "no", 0.999, 4, 8, 4),  # the weights are their own masters
        (2, "no", None, 4, 12 / 4, 4 / 4),
        (3, "bf16", None, 2 / 4, 12 / 4, 4 / 4),
        (3, "no", None, 4 / 4, 12 / 4, 4 / 4),
    ],
)
def test_bytes_of_each_stage(
    counted: plan.Sizes,
    stage: int,
    mixed_precision: str,
    ema_decay: float | None,
    weights: float,
    states: float,
    gradients: float,
) -> None:
    settings = TrainConfig(zero_stage=stage, mixed_precision=mixed_precision, ema_decay=ema_decay, batch_size=4)
    trained = UNET + TEXT  # 944,651,268; by four without a remainder
    need = plan.states(counted, settings)
    assert trained % 4 == 0
    assert need.weights == weights * trained + 4 * (49_409 * 768 + 768 * 768)
    assert need.optimizer == states * trained
    assert need.gradients == gradients * trained
    each = 2 if mixed_precision == "bf16" else 4
    # a bucket, and while it is reduced its flat copy and, of bf16 in ZeRO-2, a float32 one; ZeRO-3's is float32;
    # ZeRO-1 has the copy alone, in bf16 none
    copies = {(1, 4): 4, (2, 2): 2 + 2 + 4, (2, 4): 4 + 4, (3, 2): 4 + 4, (3, 4): 4 + 4}
    assert need.bucket == 50_000_000 * copies.get((stage, each), 0)
    kept = {(1, 2): 4 * trained, (3, 2): trained + need.bucket, (3, 4): trained + need.bucket}  # at the update too
    adam = trained / 4 * (4 if (stage, each) == (1, 2) else 4 + 4) if stage else 8 * trained
    assert need.update == adam + kept.get((stage, each), 0)
    assert need.gathered == (each * trained if stage == 3 else 0)  # fewer than the 1,000,000,000 that may be at once
    assert need.average == (4 * trained / (4 if stage else 1) if ema_decay else 0)
    assert need.peak == need.weights + need.optimizer + need.average + max(need.step, need.update)


def test_states_of_the_papers_setting_in_bytes(counted: plan.Sizes) -> None:
    need = plan.states(counted, TrainConfig())
    assert need.optimizer == 2_833_953_804  # 944,651,268 x 12 / 4
    assert need.gradients == 944_651_268  # x 4 / 4


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gradient_accumulation_steps": 4},
        {"gradient_checkpointing": True},
        {"mixed_precision": "bf16"},
        {"lora_rank": 4},
        {"lora_rank": 4, "gradient_checkpointing": True},
    ],
    ids=["plain", "micro-batches", "recomputed", "bf16", "LoRA", "LoRA, recomputed"],
)
def test_activations_are_what_torch_allocates(tiny_painter: DiffusionConfig, changes: dict[str, object]) -> None:
    settings = TrainConfig(**{"batch_size": 8, "num_workers": 1, "mixed_precision": "no", "num_gpus": 0, **changes})
    micros = settings.gradient_accumulation_steps
    resolution = 32 if micros == 1 else 64  # small sums of a micro-batch count among few bytes
    model, batch = real_step(tiny_painter, settings, resolution)
    measured, kept = allocated(model, batch, micros), saved(model, batch, micros)
    estimate = plan.activations(architectures.read(tiny_painter.base), settings, resolution)
    assert estimate == pytest.approx(measured, rel=0.1)
    assert estimate >= kept
    if not settings.gradient_checkpointing:
        assert estimate == pytest.approx(kept, rel=0.1)
    assert plan.peak_of_step(model, batch, micros) == pytest.approx(estimate, rel=0.01)  # real and fake tensors


def real_step(diffusion: DiffusionConfig, settings: TrainConfig, resolution: int) -> tuple[Product2Img, Batch]:
    parts = loading.load(diffusion.base, diffusion)
    if settings.gradient_checkpointing:
        recompute_activations(parts)
    lora.add(parts, settings, seed=0)
    model = Product2Img(parts, loading.load_projection(diffusion), settings)
    full_size.cast_parameters(model, plan.DTYPES[settings.mixed_precision])
    batch = full_size.random_batch(
        parts,
        diffusion.token,
        rows=settings.batch_size,
        resolution=resolution,
        clip_width=len(model.projection),
    )
    return model, batch


def last_micro_batch(batch: Batch, micros: int) -> Batch:
    return batch if micros == 1 else list(batch.micro_batches(micros))[-1]


def allocated(model: Product2Img, batch: Batch, micros: int) -> int:
    """The most that torch's allocator had given out, by its profiler; gradients of parameters go at once."""

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    learning = [p for group in trained_groups(model).values() for p in group]
    hooks = [p.register_post_accumulate_grad_hook(drop) for p in learning]
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
    cost = plan.cost(
        PUBLISHED, settings, resolution=512, steps=3000, assumed=PlanConfig(images_per_s=20, usd_per_gpu_hour=3)
    )
    assert cost == (192_000, 80, pytest.approx(2 / 3), pytest.approx(2 / 3 * 4 * 3))
    assert plan.default_images_per_s(PUBLISHED, settings, 512) == 36
    assert plan.default_images_per_s(PUBLISHED, settings, 256) == pytest.approx(1100 / 8, rel=0.06)  # published as well
    assert plan.cost(PUBLISHED, TrainConfig(num_gpus=0), resolution=64, steps=10, assumed=PlanConfig()) is None
    on_cpus = plan.cost(
        PUBLISHED,
        TrainConfig(num_gpus=0, num_workers=2),
        resolution=64,
        steps=10,
        assumed=PlanConfig(images_per_s=5),
    )
    assert on_cpus is not None and (on_cpus.images_per_s, on_cpus.usd) == (10, 0)


def test_a_picture_of_xl_is_more_work() -> None:
    # Published: 0.34 T multiply-adds, two operations each, of Stable Diffusion 1.5's UNet at 512 pixels and 2.98 T of
    # XL's at 1024; both leave out the products of attention.
    for architecture, resolution, published in ((PUBLISHED, 512, 0.34e12), (PUBLISHED_XL, 1024, 2.98e12)):
        assert 1.1 < plan.operations(architecture, resolution) / (2 * published) < 1.2
    rate = plan.default_images_per_s(PUBLISHED_XL, TrainConfig(), 1024)
    assert rate == pytest.approx(36 * 0.80 / 6.76, rel=0.01)
