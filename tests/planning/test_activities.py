"""The forecast of a run: its parts by hand, and what is printed of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from p2i_ray.cluster.gpu_sharing import with_shared_gpus
from p2i_ray.config import Config, load
from p2i_ray.config.planning import RunPlanConfig
from p2i_ray.console.cli import main
from p2i_ray.errors import UserError
from p2i_ray.planning.activities import RunPlan
from p2i_ray.planning.run_text import as_lines, plan
from p2i_ray.planning.schedule import Activity, Key, length
from tests.support.load_job import load_job

ROOT = Path(__file__).parents[2]


def parts(*settings: str, rows: int = 6000, dev_rows: int = 200, **assumed: float) -> dict[Key, Activity]:
    config = with_shared_gpus(load(Config, "a100x4", settings))
    return {a.key: a for a in RunPlan(config, RunPlanConfig(**assumed), rows, dev_rows).activities()}


def test_what_each_part_takes_is_counted() -> None:
    """Four engines of 15 rows a second; 36 images a second and GPU; twelve checkpoints in 3,000 steps."""
    found = parts("judge.reasoned=false", kept_fraction=0.5)
    assert [found[number, "score"].work_s for number in (1, 2, 3)] == [100, 50, 25]
    reasoned = parts("judge.reasoned=true", kept_fraction=0.5)  # five rows a second
    assert [reasoned[number, "score"].work_s for number in (1, 2, 3)] == [300, 150, 75]
    assert found[1, "encode"].work_s == pytest.approx(3000 / 200)
    assert (found[1, "train"].idle_s, found[1, "train"].work_s) == (60 + 12 * 8, pytest.approx(3000 * 64 / 144))
    assert found[0, "generate"].work_s == 20 and found[3, "generate"].work_s == 20
    assert found[1, "critique ahead"].work_s + found[1, "critique"].work_s == pytest.approx(200 / 20)
    assert found[1, "inspect"].work_s == pytest.approx(256 / 20)
    assert found[2, "inspect"].work_s == pytest.approx(256 / 20 + 256 / 60)
    assert [key for key, part in found.items() if part.idle_s == 180] == [(0, "engines")]


def test_an_audit_takes_both_judges_and_a_start() -> None:
    """Four engines each: 200 images at 15 scores and 5 critiques a second; round 0 has no critiques of its own."""
    given = ("judge.reasoned=false", "evaluate.judge.model=m")
    found = parts(*given)
    both, critiques = 200 / 60 * 2, 200 / 20
    assert found[1, "audit"].idle_s == 180  # the held-out judge's engines start each time
    assert found[1, "audit"].work_s == pytest.approx(both + critiques)
    assert found[0, "audit"].work_s == pytest.approx(both + 2 * critiques)
    assert found[0, "audit"].share == found[1, "audit"].share == 1
    hosted = parts(*given, "evaluate.judge.hosted.url=https://example.org/v1")
    assert hosted[1, "audit"].idle_s == 0 and 0 < hosted[1, "audit"].share < 0.2
    assert "audit" not in {name for _, name in parts("judge.reasoned=false")}
    fewer = parts(*given, "idr.judge_gpu_fraction=null")  # the judge gives way, and starts again for the next scores
    assert fewer[2, "score"].idle_s == 180 and parts("idr.judge_gpu_fraction=null")[2, "score"].idle_s == 0


def test_gpus_are_counted_whole_and_by_who_works_on_them() -> None:
    def counted(*settings: str) -> tuple[float, float]:
        loop = RunPlan(with_shared_gpus(load(Config, "a100x4", settings)), RunPlanConfig(), 100, 10)
        score = next(part for part in loop.activities() if part.key == (1, "score"))
        return loop.gpus, score.share

    assert counted() == (4, 1)
    assert counted("judge.replicas=8") == (8, 1)  # no two engines share one
    assert counted("judge.replicas=1", "idr.judge_gpu_fraction=null") == (4, 0.25)
    assert counted("judge.tensor_parallel_size=8", "judge.replicas=1", "idr.judge_gpu_fraction=null") == (8, 1)
    assert counted("judge.keep_warm=true", "idr.judge_gpu_fraction=null") == (8, 0.5)  # beside each other
    assert counted("judge.hosted.url=https://example.org/v1", "idr.judge_gpu_fraction=null") == (4, 0)
    with pytest.raises(UserError, match="no step of these settings has one"):
        plan(load(Config, "mini"), RunPlanConfig(), 100, 10)


def test_nothing_begins_before_what_it_needs() -> None:
    begun = {one.activity.key: one for one in plan(load(Config, "a100x4"), RunPlanConfig(), 24394, 200)}
    for number in (1, 2, 3):
        painting = begun[number, "generate"]
        critique = begun[number, "critique ahead"]
        assert critique.began + critique.activity.idle_s >= painting.began + painting.activity.idle_s
        assert begun[number, "critique"].began >= painting.ended
        assert begun[number, "train"].began >= max(begun[1, "encode"].ended, begun[number - 1, "measure"].ended)
    assert begun[1, "score"].began >= begun[0, "measure"].ended
    ranked = plan(load(Config, "a100x4", ["idr.keep_fraction=0.5"]), RunPlanConfig(), 24394, 200)
    ends = {one.activity.key: one for one in ranked}
    assert ends[1, "encode"].began >= ends[1, "score"].ended


def test_in_turn_engines_start_whenever_they_judge_again() -> None:
    found = parts("idr.judge_gpu_fraction=null", "idr.overlap=false")
    starts = [key for key, part in found.items() if part.idle_s == 180]
    assert starts == [(1, "calibrate"), (1, "critique"), (2, "critique"), (3, "critique")]
    assert (1, "inspect") in found[1, "encode"].after and (1, "measure") in found[1, "critique"].after
    assert not any(name == "critique ahead" for _, name in found)


def test_what_is_not_in_the_run_is_not_in_its_forecast() -> None:
    names = {name for _, name in parts("idr.select=false", "idr.baseline=false")}
    assert names == {"engines", "encode", "train", "generate", "measure"}
    assert parts("idr.select=false")[0, "engines"].idle_s == 0
    assert (0, "generate") not in parts("idr.baseline=false")
    assert (1, "calibrate") not in parts("calibration.rows=0")


@pytest.mark.parametrize("preset", ["gpu24gb", "a100x4"])
def test_work_ahead_never_makes_a_run_longer(preset: str) -> None:
    assumed = RunPlanConfig(images_per_s=36)
    ahead, turn = (
        length(plan(load(Config, preset, [f"idr.overlap={flag}"]), assumed, 5000, 200)) for flag in ("true", "false")
    )
    assert ahead <= turn


def test_the_lines_say_hours_share_and_price() -> None:
    lines = as_lines(load(Config, "a100x4"), RunPlanConfig(usd_per_gpu_hour=10), 24394, 200)
    hours = float(next(line for line in lines if line.startswith("hours")).split()[1].rstrip(","))
    assert f"US dollars   {hours * 40:.0f} on 4 x GPU" in "\n".join(lines)
    assert any(line.startswith("1 train") and "█" in line for line in lines)
    assert max(map(len, lines)) <= 120


def test_the_job_plans_without_data_ray_or_weights() -> None:
    command = [sys.executable, "jobs/idr.py", "--config", "a100x4", "--plan", "plan.rows=60000"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("rows         60,000 to judge, 200 to paint after every round\n")


def test_a_wrong_setting_is_one_line_before_anything_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    job, arguments = load_job("idr"), ["--config", "a100x4", "--plan", "plan.rows=60000", "idr.rounds=9"]
    with pytest.raises(SystemExit) as stopped:
        main(job.IdrJob, job.__doc__, job.run, arguments, instead=[job.PLAN], flags=[job.REDO])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1][:40] == "error: idr.steps has 3 numbers for idr.r"
