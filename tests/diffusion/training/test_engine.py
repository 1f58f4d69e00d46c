"""Every ZeRO stage and precision takes the same steps, and averages the same; two processes have what one has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.model import export, loading, lora
from p2i_ray.diffusion.model.card import StepRecord
from p2i_ray.diffusion.step import Product2Img, recompute_activations
from p2i_ray.diffusion.training import engine, loop
from p2i_ray.diffusion.training.ema import ShardedEMA
from p2i_ray.diffusion.training.ingest import SampleSchedule
from p2i_ray.diffusion.training.product2img import Product2ImgObjective
from p2i_ray.errors import UserError
from tests.support.make_batch import make_batch
from tests.support.make_features import make_features
from tests.support.two_workers import assert_same, step, work

pytestmark = pytest.mark.long

BASE = TrainConfig(
    batch_size=4, num_workers=1, num_gpus=0, lr_unet=1e-3, lr_text=2e-3, warmup_ratio=0, mixed_precision="no"
)
DECAY = 0.3


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of one; DeepSpeed keeps the first that it sees."""
    store: Path = tmp_path_factory.mktemp("group") / "store"
    address = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in address.items():
            environment.setenv(name, value)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
        yield
        dist.destroy_process_group()


@pytest.fixture(autouse=True)
def _linear_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeRO-3 puts a linear layer of its own into torch and leaves it there: give torch's back after each test."""
    monkeypatch.setattr(torch.nn.functional, "linear", torch.nn.functional.linear)


class Outcome(NamedTuple):
    curve: list[StepRecord]
    weights: dict[str, torch.Tensor]
    averaged: dict[str, torch.Tensor]
    rates: dict[str, float]  # of the first step


def make_model(diffusion: DiffusionConfig, settings: TrainConfig) -> tuple[loading.Parts, Product2Img]:
    parts = loading.load(diffusion.base, diffusion)
    lora.add(parts, settings, seed=0)
    return parts, Product2Img(parts, loading.load_projection(diffusion), settings)


def three_steps(
    diffusion: DiffusionConfig, named: Path | None = None, curve: Sequence[StepRecord] = (), **changes: Any
) -> Outcome:
    """Three steps, after those of `curve`; with a folder, its rows have features and so names."""
    settings = BASE.model_copy(update={"ema_decay": DECAY, "contrastive_weight": 0.5, **changes})
    features = make_features(named / "rows", diffusion, count=4, resolution=16) if named else FeatureIndex("", [], "")
    parts, model = make_model(diffusion, settings)
    if settings.gradient_checkpointing:
        recompute_activations(parts)
    trainee = engine.start(model, settings, steps=4)
    average = ShardedEMA(trainee, settings.ema_decay)
    batch = make_batch(parts, range(4))
    curve, before = list(curve), len(curve)
    first = engine.learning_rates(trainee)
    schedule = SampleSchedule(features=features, keep=None, seed=0, batch=4, steps=4, row_bytes=1, note="")
    for _ in range(3):
        rates = engine.learning_rates(trainee)
        curve.append(
            loop._step(
                trainee,
                batch,
                torch.tensor([3, 0, 1, 2]),
                rates,
                curve=curve,
                objective=Product2ImgObjective(settings.contrastive_weight),
                settings=settings,
                schedule=schedule,
            )
        )
        average.step()
    weights = engine.gather(trainee)
    with average.in_place():
        averaged = {name: value.clone() for name, value in engine.gather(trainee).items()}
    restored = engine.gather(trainee)
    assert all(torch.equal(restored[name], value) for name, value in weights.items())
    return Outcome(curve[before:], {n: v.clone() for n, v in weights.items()}, averaged, first)


@pytest.fixture(scope="module")
def expected(alone: None, tiny_painter: DiffusionConfig) -> Outcome:
    return three_steps(tiny_painter, zero_stage=1)


def test_groups_learn_at_their_own_rates(expected: Outcome) -> None:
    assert expected.rates == {"unet": pytest.approx(1e-3), "token": pytest.approx(1e-3), "text": pytest.approx(2e-3)}
    assert expected.curve[2].total < expected.curve[0].total
    assert expected.curve[0].lr == pytest.approx(1e-3) and expected.curve[2].lr < 1e-3


@pytest.mark.parametrize(
    ("stage", "mixed_precision"), [(0, "no"), (1, "bf16"), (2, "no"), (2, "bf16"), (3, "no"), (3, "bf16")]
)
def test_stages_and_precisions_agree(
    expected: Outcome, tiny_painter: DiffusionConfig, stage: int, mixed_precision: str
) -> None:
    found = three_steps(tiny_painter, zero_stage=stage, mixed_precision=mixed_precision)
    tolerance = 1e-4 if mixed_precision == "no" else 0.15
    for left, right in zip(found.curve, expected.curve, strict=True):
        assert (left.total, left.grad_norm) == pytest.approx((right.total, right.grad_norm), rel=tolerance * 2)
    for ours, theirs in ((found.weights, expected.weights), (found.averaged, expected.averaged)):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if name.endswith("k_proj.bias"):
                continue  # attention doesn't depend on it: its gradient is rounding, whose sign AdamW follows
            assert ours[name].dtype == torch.float32
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-4 if mixed_precision == "no" else 1e-2)


def test_recomputing_activations_changes_nothing(expected: Outcome, tiny_painter: DiffusionConfig) -> None:
    recomputed = three_steps(tiny_painter, zero_stage=1, gradient_checkpointing=True)
    for left, right in zip(recomputed.curve, expected.curve, strict=True):
        assert left == pytest.approx(right, rel=1e-4)


def test_the_average_is_an_exponential_one(alone: None, tiny_painter: DiffusionConfig) -> None:
    """Worked out by hand: after step k the decay is min(0.3, (1 + s) / (10 + s)) with s = max(0, k - 1), 0 at s = 0."""
    settings = BASE.model_copy(update={"zero_stage": 0})
    _, model = make_model(tiny_painter, settings)
    trainee = engine.start(model, settings, steps=4)
    average = ShardedEMA(trainee, DECAY)
    row = model.background_rows[0]
    assert row is not None
    by_hand = row.detach().clone()
    for decay in (0.0, 2 / 11, 3 / 12, 0.3):
        with torch.no_grad():
            row += 1.0
        average.step()
        by_hand = decay * by_hand + (1 - decay) * row.detach()
    now = row.detach().clone()
    with average.in_place() as there:
        assert there
        torch.testing.assert_close(row.detach(), by_hand)
        assert not torch.equal(row.detach(), now)
    assert torch.equal(row.detach(), now)


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_adapters_alone_learn(alone: None, tiny_painter: DiffusionConfig, stage: int) -> None:
    found = three_steps(tiny_painter, zero_stage=stage, lora_rank=2)
    assert all(lora.MARK in name or name.endswith("token_embedding.row") for name in found.weights)
    assert found.curve[2].total < found.curve[0].total
    assert any(value.abs().max() > 0 for name, value in found.weights.items() if "lora_B" in name)


def test_full_weights_can_be_set(alone: None, tiny_painter: DiffusionConfig) -> None:
    for stage, mixed_precision in ((0, "no"), (1, "no"), (2, "bf16"), (3, "no")):
        settings = BASE.model_copy(update={"zero_stage": stage, "mixed_precision": mixed_precision})
        _, model = make_model(tiny_painter, settings)
        trainee = engine.start(model, settings, steps=4)
        wanted = {name: torch.full_like(value, 0.5) for name, value in engine.gather(trainee).items()}
        for name, parameter in engine.learning(trainee).items():
            engine.set_full_weight(parameter, wanted[name])
        found = engine.gather(trainee)
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(("stage", "lora_rank"), [(1, 0), (2, 0), (3, 0), (2, 2), (3, 2)])
def test_bf16_starts_from_the_folder_s_own_weights(
    alone: None, tiny_painter: DiffusionConfig, tmp_path: Path, stage: int, lora_rank: int
) -> None:
    """At a rate of 1e-12 what is saved is what was loaded, in float32, also through a checkpoint; not bf16 of it."""
    rates = {"lr_unet": 1e-12, "lr_text": 1e-12}
    settings = BASE.model_copy(update={"zero_stage": stage, "lora_rank": lora_rank, "mixed_precision": "bf16", **rates})
    parts, model = make_model(tiny_painter, settings)
    given = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    trainee = engine.start(model, settings, steps=2)
    trainee.backward(trainee(batch := make_batch(parts, range(4)), batch).total)
    trainee.step()
    trainee.save_checkpoint(str(tmp_path / "checkpoint"), tag="step", exclude_frozen_parameters=True)
    trainee = engine.start(make_model(tiny_painter, settings)[1], settings, steps=2)
    trainee.load_checkpoint(str(tmp_path / "checkpoint"), tag="step", load_module_strict=False)
    weights = engine.gather(trainee)
    for name, value in given.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-6, atol=1e-10)
        assert value.ndim < 2 or "lora_B" in name or not torch.equal(value.bfloat16().float(), value)
    trained = export.Trained(base=tiny_painter.base, diffusion=tiny_painter, settings=settings, weights=weights)
    export.write(trained, {}, str(tmp_path / "model"))
    before, after = (loading.load(folder, tiny_painter) for folder in (tiny_painter.base, str(tmp_path / "model")))
    for old, new in ((before.denoiser, after.denoiser), (before.text_encoders[0], after.text_encoders[0])):
        for name, value in old.state_dict().items():
            torch.testing.assert_close(new.state_dict()[name], value, rtol=1e-6, atol=1e-10)


@pytest.fixture(scope="module")
def of_two(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two processes that shared the work have saved."""
    out = tmp_path_factory.mktemp("two") / "results.pt"
    mp.spawn(work, args=(2, tiny_painter, out), nprocs=2)
    return torch.load(out)


def test_two_workers_have_the_loss_and_gradients_of_one(of_two: Any, tiny_painter: DiffusionConfig) -> None:
    steps, _ = of_two
    for shared in steps:
        assert_same(shared, step(tiny_painter))


def test_bf16_gradients_are_summed_in_float32(of_two: Any) -> None:
    """Over micro-batches and over workers, whatever ZeRO shards; a sum in bf16 has lost a part that shows."""
    _, sums = of_two
    assert [stage for stage, *_ in sums] == [1, 2, 3]
    for stage, found, exact, rounded in sums:
        assert found.keys() == exact.keys() and found
        for name, value in exact.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-9, msg=lambda m, s=stage: f"ZeRO-{s} {m}")
        lost = [(rounded[name].float() - value).norm() / value.norm() for name, value in exact.items()]
        assert torch.stack(lost).mean() > 1e-3


def test_a_step_far_above_the_others_stops_the_training(
    alone: None, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    calm = [
        StepRecord(step=step + 1, inpaint=0.001, cl_background=0.0, cl_name=0.0, total=0.001, lr=1e-3, grad_norm=1.0)
        for step in range(60)
    ]
    with pytest.raises(UserError, match=r"stops at step 61: its loss \S+ is \d+ times the median .* row-003, row-0"):
        three_steps(tiny_painter, tmp_path, curve=calm)


@pytest.mark.slow
@pytest.mark.heavy  # the compiler's own processes
def test_compiled_steps_are_the_same(expected: Outcome, tiny_painter: DiffusionConfig) -> None:
    compiled = three_steps(tiny_painter, zero_stage=1, compile=True)
    assert tuple(compiled.curve[0]) == pytest.approx(tuple(expected.curve[0]), rel=1e-3)
    # AdamW's first steps follow the sign of a gradient, also where it is rounding: from here on they drift apart.
    assert tuple(compiled.curve[2]) == pytest.approx(tuple(expected.curve[2]), rel=0.1)
