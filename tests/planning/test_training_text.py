"""The plan as people read it: of every preset, of a model that is widened, and from the job's command line."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from p2i_ray.config import Config, DiffusionConfig, PlanConfig, TrainConfig, load
from p2i_ray.console.cli import main
from p2i_ray.errors import UserError
from p2i_ray.planning import training_text as plan_text
from p2i_ray.planning.architectures import PUBLISHED
from p2i_ray.planning.training_memory import Sizes, TrainingMemory

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
DIFFUSION = DiffusionConfig(base="models/base", clip="models/clip")


@pytest.mark.parametrize(
    ("preset", "memory", "verdict"),
    [
        ("a100x4", 80, "fits: it needs 20.4 of 80 GiB"),
        pytest.param("a100x4-sdxl", 80, "fits: it needs 21.8 of 80 GiB", marks=pytest.mark.slow),
        ("gpu24gb", 24, "fits: it needs 10.1 of 24 GiB"),
        ("mini", None, ""),
    ],
)
def test_every_preset_has_a_plan(preset: str, memory: float | None, verdict: str) -> None:
    config = load(Config, preset)
    assumed, resolution = PlanConfig(gpu_memory_gib=memory), config.image.resolution
    planned = plan_text.work_out(config.diffusion.base, config.diffusion, config.train, resolution)
    text = "\n".join(plan_text.as_lines(planned, config.train, resolution=resolution, steps=30, assumed=assumed))
    assert ("859,535,364" in text) == (preset == "a100x4")
    assert ("2,567,478,084" in text) == ("counted as Stable Diffusion XL's" in text) == (preset == "a100x4-sdxl")
    assert ("LoRA of rank 64, 944,650,500 stay" in text) == (preset == "gpu24gb")
    assert "need" in text and "images       " in text
    assert verdict in text, text


def test_a_plain_model_is_planned_as_it_is_trained(
    tiny_painter: DiffusionConfig, plain_painter: DiffusionConfig
) -> None:
    settings = TrainConfig(batch_size=8, num_workers=1, num_gpus=0)

    def lines(diffusion: DiffusionConfig, settings: TrainConfig = settings) -> list[str]:
        planned = plan_text.work_out(diffusion.base, diffusion, settings, 16)
        return plan_text.as_lines(planned, settings, resolution=16, steps=10, assumed=PlanConfig())

    widened = lines(plain_painter)
    assert widened[0] == f"model        {plain_painter.base}, widened to 9 input channels"
    assert widened[1:] == lines(tiny_painter)[1:]
    with pytest.raises(UserError, match=r"set diffusion.widen=true to add them"):
        lines(plain_painter.model_copy(update={"widen": False}))
    with pytest.raises(UserError, match=r"train.lora_rank=2 can't train what diffusion.widen=true adds"):
        lines(plain_painter, settings.model_copy(update={"lora_rank": 2}))


def test_the_verdict_is_plain_and_mistakes_are_named() -> None:
    settings, gib = TrainConfig(), 2**30
    needed = TrainingMemory(
        weights=2 * gib,
        gathered=0,
        optimizer=3 * gib,
        average=0,
        gradients=gib,
        bucket=0,
        activations=14 * gib + gib // 2,
        update=gib,
    )
    counted = Sizes(unet=2, text=1, frozen=0, buffers=0)
    planned = plan_text.TrainingPlan("nowhere", PUBLISHED, there=False, widened=False, counted=counted, needed=needed)

    def lines(**values: float) -> str:
        assumed = PlanConfig(**values)
        return "\n".join(plan_text.as_lines(planned, settings, resolution=512, steps=10, assumed=assumed))

    assert "fits: it needs 20.5 of 80 GiB" in lines(gpu_memory_gib=80)  # 2 + 3 + 1 + 14.5
    assert "DOES NOT FIT: it needs 20.5 of 16 GiB" in lines(gpu_memory_gib=16)
    assert "TIGHT" in lines(gpu_memory_gib=21)
    with pytest.raises(UserError, match="multiple of 8"):
        plan_text.work_out("nowhere", DIFFUSION, settings, 508)


def test_the_job_plans_without_data_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    job = runpy.run_path(str(ROOT / "jobs" / "train.py"))

    def call(*argv: str) -> str:
        main(job["TrainJob"], job["__doc__"], job["run"], argv, instead=[job["PLAN"]])
        return capsys.readouterr().out

    assert "US dollars" in call("--config", "mini", "--plan", "steps=10", "train.num_gpus=1")
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
