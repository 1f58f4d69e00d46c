"""The loop on the real engines: Algorithm 1, small."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from p2i_ray import idr
from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.judge import held_out
from p2i_ray.judge.judge import Judge
from p2i_ray.run import step_table
from p2i_ray.run.folder import Run
from p2i_ray.run.step_table import AUDIT, CALIBRATE, CRITIQUE, INSPECT, MEASURE, SCORE, SELECT
from p2i_ray.steps.overlap.overlap import overlapping
from p2i_ray.steps.round import Output, Round
from p2i_ray.steps.score import score
from p2i_ray.steps.selection import select
from p2i_ray.steps.summarise import summarise
from tests.support import second_judge

SMALL = [
    "idr.rounds=2",
    "idr.steps=[2, 2]",
    "train.batch_size=8",
    "train.num_workers=1",
    "generate.num_inference_steps=2",
    "generate.num_workers=1",
    "idr.baseline=false",
    "idr.exemplars=2",
    "idr.inspect=24",
    "calibration.rows=8",
]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory, mini_data: str, judge: Judge) -> Run:
    run = Run.open(str(tmp_path_factory.mktemp("runs") / "small"), load(Config, "mini", SMALL))
    with overlapping(run, mini_data, judge):
        model = idr.refine(run, mini_data, judge)
    run.publish(model)
    return run


def ids(path: str) -> list[str]:
    return pq.read_table(path, columns=["id"])["id"].to_pylist()


def test_the_loop_does_the_steps_of_the_table_in_their_order(finished_run: Run) -> None:
    expected = [step.key(number) for number, step in step_table.of_run(finished_run.config)]
    done = [(span.round, span.name) for span in finished_run.attempt.record().spans if span.kind == "step"]
    assert sorted(done) == sorted(expected)
    in_turn = [key for key in expected if key[1] != MEASURE.name]  # which is recorded when it is needed
    assert [key for key in done if key[1] != MEASURE.name] == in_turn


@pytest.mark.slow
def test_without_overlap_the_loop_does_one_step_after_the_other_to_the_same_bits(
    finished_run: Run, mini_data: str, judge: Judge, tmp_path: Path
) -> None:
    run = Run.open(str(tmp_path / "plain"), finished_run.config)
    run.publish(idr.refine(run, mini_data, judge))
    done = [(span.round, span.name) for span in run.attempt.record().spans if span.kind != "start"]
    assert done == [step.key(number) for number, step in step_table.of_run(run.config)]
    for number in (1, 2):
        assert ids(run.path(number, "kept.parquet")) == ids(finished_run.path(number, "kept.parquet"))
        metrics = [json.loads(Path(one.path(number, "metrics.json")).read_text()) for one in (run, finished_run)]
        assert metrics[0] == metrics[1]
    for weights in sorted(Path(run.dir, "model").rglob("*.safetensors")):
        assert (
            weights.read_bytes()
            == Path(finished_run.dir, "model", weights.relative_to(f"{run.dir}/model")).read_bytes()
        )


def test_every_id_is_scored_once_and_the_selection_is_nested(finished_run: Run, mini_data: str) -> None:
    scored = [sorted(ids(finished_run.path(n, "scores"))) for n in (1, 2)]
    kept = [ids(finished_run.path(n, "kept.parquet")) for n in (1, 2)]
    assert scored[0] == sorted(ids(f"{mini_data}/train"))  # D_0
    assert scored[1] == kept[0]  # D_1 = S_1
    assert set(kept[1]) < set(kept[0]) < set(scored[0])


def test_the_kept_rows_are_those_at_gamma_or_above(finished_run: Run) -> None:
    table = pq.read_table(finished_run.path(1, "scores")).to_pylist()
    good = sorted(row["id"] for row in table if row["score"] is not None and row["score"] >= 4)
    assert ids(finished_run.path(1, "kept.parquet")) == good


def test_feedback_reaches_the_next_selection(finished_run: Run) -> None:
    feedback = Path(finished_run.path(1, "feedback.txt")).read_text()
    first = {row["id"]: row for row in pq.read_table(finished_run.path(1, "scores")).to_pylist()}
    second = pq.read_table(finished_run.path(2, "scores")).to_pylist()
    assert feedback
    assert any(row["expected_score"] != first[row["id"]]["expected_score"] for row in second)


def test_the_next_round_is_shown_the_last_ones_surest_and_most_doubtful(finished_run: Run) -> None:
    shown = pq.read_table(finished_run.path(1, "exemplars", "exemplars.parquet")).to_pylist()
    scores = {row["id"]: row for row in pq.read_table(finished_run.path(1, "scores")).to_pylist()}
    entropies = [row["entropy"] for row in scores.values() if row["score"] is not None]
    assert [row["score"] for row in shown] == [scores[row["id"]]["score"] for row in shown]
    assert scores[shown[1]["id"]]["entropy"] == max(entropies)


def test_a_sample_shows_what_the_feedback_did(finished_run: Run) -> None:
    facts = [finished_run.done(n, INSPECT).facts for n in (1, 2)]
    assert facts[0]["feedback"] is None and facts[0]["rows"] == facts[1]["rows"] == 24
    assert sum(facts[1]["feedback"].values()) == 24
    listed = ids(finished_run.path(2, "inspection", "rows.parquet"))
    assert sorted(ids(finished_run.path(2, "inspection", "without-feedback"))) == sorted(listed)  # in parts, unordered
    assert finished_run.done(1, CALIBRATE).facts["sample"] == 8


def test_training_goes_on_from_the_last_round(finished_run: Run) -> None:
    name = "unet/diffusion_pytorch_model.safetensors"
    one, two = (load_file(finished_run.path(n, "checkpoint", name)) for n in (1, 2))
    base = load_file(f"{finished_run.config.diffusion.base}/{name}")
    key = "conv_in.weight"
    step = (two[key].float() - one[key].float()).norm()
    assert 0 < step < (two[key].float() - base[key].float()).norm() * 2


def test_the_run_json_keeps_the_contract(finished_run: Run) -> None:
    summary = json.loads(Path(finished_run.dir, "run.json").read_text())
    assert summary["status"] == "done" and [r["round"] for r in summary["rounds"]] == [1, 2]
    for row in summary["rounds"]:
        assert {"score", "train", "generate", "critique"} <= row["steps"].keys()
        assert {"fid", "clip_c_i", "clip_c_b"} <= row["metrics"].keys()
        assert row["kept"] and row["feedback"]


def test_the_final_model_paints_with_diffusers_own_pipeline(finished_run: Run) -> None:
    from diffusers import StableDiffusionInpaintPipeline
    from PIL import Image

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(f"{finished_run.dir}/model", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    grey, mask = Image.new("RGB", (64, 64), (127, 127, 127)), Image.new("L", (64, 64), 255)
    result = pipeline(
        "trail tent <background>", image=grey, mask_image=mask, height=64, width=64, num_inference_steps=2
    )
    assert result.images[0].size == (64, 64)


def test_a_finished_run_does_nothing_again(finished_run: Run, mini_data: str, judge: Judge) -> None:
    steps = Path(finished_run.path(2, "steps"))
    before = {p: p.stat().st_mtime_ns for p in steps.iterdir()}
    idr.refine(Run.open(finished_run.dir, finished_run.config), mini_data, judge)
    assert {p: p.stat().st_mtime_ns for p in steps.iterdir()} == before


def test_a_selection_that_keeps_nothing_stops_with_what_to_change(tmp_path: Path, mini_data: str, judge: Judge) -> None:
    run = Run.open(
        str(tmp_path / "run"), load(Config, "mini", [*SMALL, "idr.gamma=5", "idr.threshold_on=expected_score"])
    )
    with pytest.raises(UserError, match=r"keeps none of 120 rows: the highest expected_score is .* lower idr.gamma"):
        idr.refine(run, mini_data, judge)
    assert run.done(1, SCORE) and not run.done(1, SELECT)


def control(folder: Path, data: str) -> tuple[Run, list[str]]:
    """A run whose scores are given, and the ids of its training split from the lowest score to the highest."""
    rows = sorted(id_ for file in Path(data, "train").glob("*.parquet") for id_ in ids(str(file)))
    given = folder / "given.csv"
    given.write_text("id,score\n" + "".join(f"{id_},{1 + 4 * place / len(rows)}\n" for place, id_ in enumerate(rows)))
    settings = [*SMALL, "idr.exemplars=0", f"idr.given_scores={given}", "idr.keep_rows=[16,8]"]
    return Run.open(str(folder / "run"), load(Config, "mini", settings)), rows


def test_given_scores_take_the_judges_place(tmp_path: Path, mini_data: str, judge: Judge) -> None:
    run, rows = control(tmp_path, mini_data)
    first, second = (Round(run, number, mini_data, judge) for number in (1, 2))
    kept = select(first, score(first, None, "", ()))
    assert ids(kept.location) == rows[-16:]
    scores = score(second, kept, "", ())
    assert scores.rows == 16 and ids(select(second, scores).location) == rows[-8:]


@pytest.mark.slow
def test_a_control_with_given_scores_never_asks_the_judge(tmp_path: Path, mini_data: str, judge: Judge) -> None:
    run, rows = control(tmp_path, mini_data)
    with overlapping(run, mini_data, judge):
        model = idr.refine(run, mini_data, judge)
    assert ids(run.path(1, "kept.parquet")) == rows[-16:] and ids(run.path(2, "kept.parquet")) == rows[-8:]
    done = {(number, step.name) for number, step in step_table.of_run(run.config)}
    asked = {"calibrate", "inspect", "critique", "feedback"}
    assert Path(model).is_dir() and not asked & {name for _, name in done}
    assert all(run.done(number, step_table.BY_NAME[name]) for number, name in done)


@pytest.mark.slow
def test_a_held_out_judge_looks_at_each_round_and_changes_nothing_else(
    finished_run: Run, tmp_path: Path, mini_data: str, judge: Judge
) -> None:
    model = second_judge.make(tmp_path / "second", Path(judge.settings.model), noise=0.2)
    settings = [*SMALL, "idr.rounds=1", "idr.baseline=true", f"evaluate.judge.model={model}"]
    run = Run.open(str(tmp_path / "run"), load(Config, "mini", settings))
    other = held_out.make(run.config, cache=str(tmp_path / "cache"))
    assert other is not None
    with other, overlapping(run, mini_data, judge):
        idr.refine(run, mini_data, judge, other)
    for number in (0, 1):
        found = run.done(number, AUDIT)
        assert found is not None and found.facts["figures"]["judge_score_images"] == 16
        assert sorted(ids(run.path(number, "audit", "values.parquet"))) == sorted(ids(f"{mini_data}/validation"))
    assert not Path(run.path(1, "audit", "selecting", "critiques")).exists()  # the round's own
    assert ids(run.path(1, "kept.parquet")) == ids(finished_run.path(1, "kept.parquet"))
    metrics = [json.loads(Path(one.path(1, "metrics.json")).read_text()) for one in (run, finished_run)]
    assert metrics[0] == metrics[1]


def test_given_feedback_takes_the_place_of_the_summary(
    finished_run: Run, tmp_path: Path, mini_data: str, judge: Judge
) -> None:
    run = Run.open(str(tmp_path / "run"), load(Config, "mini", [*SMALL, "idr.given_feedback=frames, sepia"]))
    critiques = Output(finished_run.path(1, "critiques"), finished_run.done(1, CRITIQUE))
    assert summarise(Round(run, 1, mini_data, judge), critiques) == "frames, sepia"
    assert Path(run.path(1, "feedback.txt")).read_text() == "frames, sepia"
