"""What jobs/score.py --plan prints."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest

from p2i_ray.console.cli import main
from tests.support.load_job import load_job


def plan(capsys: pytest.CaptureFixture[str], preset: str, *settings: str) -> dict[str, str]:
    """The lines' labels and texts; lines without a label belong to the one before."""
    job: Any = load_job("score")
    main(job.ScoreJob, job.__doc__, job.run, ["--config", preset, "--plan", *settings], instead=[job.PLAN])
    found: dict[str, str] = {}
    label = ""
    for line in filter(None, capsys.readouterr().out.splitlines()):
        label = line[:13].strip() or label
        found[label] = f"{found[label]}\n{line[13:]}" if label in found else line[13:]
    return found


def test_the_mini_preset_has_a_plan(mini_data: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "mini", f"data={mini_data}")
    assert found["picture"].startswith("16 tokens at 64 x 64 pixels")
    assert re.search(r"score \(R\): \d+ tokens: 24 for 1 picture", found["request"])
    assert "summary (SUM): " in found["request"] and "critique (F): " in found["request"]
    assert found["rows"] == "120"
    assert found["US dollars"] == "not known: the engines have no GPU (judge.num_gpus=0)"
    assert "data" not in found and "too long" not in found


def test_a_model_that_is_not_there_has_hours_and_a_price_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "a100x4", "plan.rows=18000", "plan.node_start_s=420")
    assert found["tokens"].startswith("not known: the model isn't there yet")
    # 18,000 rows at 5 a second on each of 4 engines are 900 s; 180 s of start and 420 s for the node make 1,500 s
    assert found["rows/s"].startswith("20: 5 an engine (plan.reasoned_per_s")
    assert found["hours"].startswith("0.42, of which 10 minutes")
    assert found["US dollars"].startswith(f"{1500 / 3600 * 4 * 5.12:.2f} on 4 x GPU at 5.12 an hour")
    assert found["data"] == "none is not there: its rows are plan.rows, its names in common words"


def test_it_says_how_many_exemplars_fit(tiny_judge: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    model = f"judge.model={tiny_judge('qwen3_vl')}"
    found = plan(capsys, "a100x4", model, "judge.reasoned=false", "judge.max_name_chars=8")
    assert found["picture"] == "256 tokens at 512 x 512 pixels"
    lengths = [int(number.replace(",", "")) for number in re.findall(r"\d: ([\d,]+)", found["exemplars"])]
    steps = {after - before for before, after in itertools.pairwise(lengths)}
    assert len(lengths) == 9 and len(steps) == 1  # names and pictures are alike
    fitting = sum(length <= 4096 for length in lengths) - 1
    assert found["exemplars"].endswith(f"tokens; up to {fitting} fit")


def test_it_says_what_is_too_long(tiny_judge: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "a100x4", f"judge.model={tiny_judge('llava_onevision')}")
    assert found["exemplars"].endswith("not even a request without any fits")
    assert "raise judge.max_model_len=" in found["too long"]


def test_a_hosted_judge_has_a_price(capsys: pytest.CaptureFixture[str]) -> None:
    hosted = ["judge.hosted.url=https://api.example/v1", "judge.hosted.usd_per_million_input=1"]
    found = plan(capsys, "mini", *hosted, "data=/nowhere", "plan.rows=1000")
    assert "up to 1,000 requests to https://api.example/v1: about " in found["judge"]
    assert found["rows"] == "1,000, 500 a minute at most (judge.hosted.requests_per_minute)"


def test_a_judge_without_vision_is_one_line(tmp_path: Any, mini_data: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    job: Any = load_job("score")
    for more in (["--plan"], [f"data={mini_data}", f"out={tmp_path}/out"]):
        with pytest.raises(SystemExit) as stopped:
            arguments = ["--config", "mini", f"judge.model={tmp_path}", *more]
            main(job.ScoreJob, job.__doc__, job.run, arguments, instead=[job.PLAN])
        assert stopped.value.code == 2
        assert "a 'llama' model is not a vision-language model; the judge needs one" in capsys.readouterr().err
