"""The step table: whole, in order, and what the loop really does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.run import step_table
from p2i_ray.run.step_table import BY_NAME, STEPS, In


def names(*settings: str) -> list[str]:
    return [f"{number} {step.name}" for number, step in step_table.of_run(load(Config, "mini", settings))]


def test_a_run_in_the_order_of_algorithm_1() -> None:
    judged = ["score", "select", "inspect"]
    made = ["train", "generate", "measure", "critique", "feedback"]
    expected = ["0 generate", "0 measure", "1 calibrate", *(f"1 {name}" for name in [*judged, "encode", *made])]
    expected += [f"{number} {name}" for number in (2, 3) for name in [*judged, *made]]
    assert names() == expected


def test_settings_leave_steps_out() -> None:
    assert names("idr.rounds=1", "idr.select=false", "idr.baseline=false") == [
        "1 encode",
        "1 train",
        "1 generate",
        "1 measure",
    ]
    assert "1 feedback" not in names("idr.feedback=false") and "1 critique" in names("idr.feedback=false")
    assert "1 calibrate" not in names("calibration.rows=0") and "1 calibrate" in names("calibration.gold=gold.csv")
    assert "2 exemplars" in names("idr.exemplars=2") and "2 inspect" not in names("idr.inspect=0")


def test_a_held_out_judge_adds_a_step_to_every_painted_round() -> None:
    given = "evaluate.judge.model=/models/second"
    found = names(given)
    assert [name for name in found if "audit" not in name] == names()
    assert [name for name in found if "audit" in name] == ["0 audit", "1 audit", "2 audit", "3 audit"]
    assert found.index("0 audit") == found.index("0 measure") + 1
    assert found.index("1 audit") == found.index("1 feedback") + 1
    assert "0 audit" not in names(given, "idr.baseline=false")
    assert not [name for name in names(given, "idr.select=false") if "audit" in name]  # nobody to please


def test_settings_of_the_held_out_judge_are_the_audits_alone() -> None:
    assert [step.name for step in step_table.depending_on("evaluate.judge.dtype")] == ["audit"]
    assert [step.name for step in step_table.depending_on("evaluate.judge.hosted.url")] == ["audit"]
    assert [step.name for step in step_table.depending_on("evaluate.fill")] == ["measure"]


def test_a_step_reads_what_comes_before_it() -> None:
    for place, step in enumerate(STEPS):
        for one in step.inputs:
            assert one.step in BY_NAME
            if one.round is In.SAME:
                assert STEPS.index(BY_NAME[one.step]) < place
        if step.early and step.early.follows:
            assert step.early.follows in BY_NAME


def test_a_step_that_may_be_deferred_is_read_by_none() -> None:
    deferrable = {step.name for step in STEPS if step.early and step.early.follows is None}
    assert deferrable == {"measure"}
    assert not deferrable & {one.step for step in STEPS for one in step.inputs}


def test_outputs_are_one_a_step() -> None:
    assert len({step.output for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize(("name", "kind"), [("train", "training"), ("score", "judging"), ("unheard-of", "judging")])
def test_kinds_by_name(name: str, kind: str) -> None:
    assert step_table.kind_of(name) == kind


def test_unknown_names_come_last() -> None:
    assert sorted(["unheard-of", "train", "score"], key=step_table.order_of) == ["score", "train", "unheard-of"]


def test_no_other_file_of_the_loop_says_what_a_step_s_output_is_called() -> None:
    """Those that are no words besides: scores and critiques are also what two steps call folders within their own."""
    root = Path(__file__).parents[2]
    own = {"checkpoint", "generated", "kept.parquet", "metrics.json", "feedback.txt"}
    assert own <= {step.output for step in STEPS}
    files = [root / "p2i_ray" / "idr_run.py", root / "p2i_ray" / "comparison" / "arm_runs.py"]
    for folder in ("p2i_ray/steps", "p2i_ray/run", "p2i_ray/planning", "p2i_ray/report", "chaos"):
        files += [file for file in (root / folder).rglob("*.py") if file.name != "step_table.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value.rpartition("/")[2] not in own, f"{file}:{node.lineno}"
