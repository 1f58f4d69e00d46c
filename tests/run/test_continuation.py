"""A run goes on: with changed settings where that is right, with the same inputs, from an earlier step on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run import changes
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.inputs import RunInput
from p2i_ray.run.step_table import BY_NAME, Key, of_run


def opened(folder: Path, *settings: str, redo_from: str | None = None) -> Run:
    inputs = [
        RunInput("data/train", str(folder.parent / "train")),
        RunInput("diffusion.base", str(folder.parent / "base")),
    ]
    return Run.open(str(folder), load(Config, "mini", settings), inputs=inputs, redo_from=redo_from)


def do(run: Run, until: Key = (3, "feedback")) -> list[str]:
    """Do the steps that aren't done, to one of them; returns which those were."""
    did: list[str] = []
    for number, step in of_run(run.config):
        title = changes.title(step.key(number))
        run.once(number, step, lambda _, title=title: did.append(title) or Counts(facts={"feedback": "blur"}))
        if step.key(number) == until:
            break
    return did


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content.json").write_text(name)
    do(opened(tmp_path / "run"), until=(2, "train"))
    return tmp_path / "run"


def steps(run: Run) -> list[str]:
    return [f"{number}/{step.name}" for number, step in of_run(run.config) if run.done(number, step)]


def test_an_input_with_other_content_is_refused_and_the_old_one_goes_on(folder: Path) -> None:
    file = folder.parent / "train" / "content.json"
    before = folder.joinpath("config.yaml").read_bytes()
    file.write_text("tra1n")
    with pytest.raises(UserError) as raised:
        opened(folder)
    assert str(raised.value) == (
        f"{folder} has finished steps that were made otherwise: data/train ({file.parent}) holds something else, used "
        "by round 1 · calibrate; change it back, give another run_dir, or have those steps and what follows from them "
        "done anew with --redo-from 1/calibrate,1/score"
    )
    assert folder.joinpath("config.yaml").read_bytes() == before
    file.write_text("train")
    assert "3/train" not in steps(opened(folder)) and "2/train" in steps(opened(folder))


def test_a_changed_input_is_taken_by_steps_that_are_done_anew(folder: Path) -> None:
    (folder.parent / "train" / "content.json").write_text("tra1n")
    run = opened(folder, redo_from="1/calibrate,1/score")
    assert steps(run) == ["0/generate", "0/measure"]
    do(run)
    assert len(steps(opened(folder))) == len(list(of_run(run.config)))


def test_an_input_of_which_nothing_is_done_may_be_away_or_new(folder: Path) -> None:
    (folder.parent / "base" / "content.json").rename(folder.parent / "kept")
    (folder.parent / "base").rmdir()
    with pytest.raises(UserError, match=r"diffusion.base \(.*/base\) is not there; check the path"):
        opened(folder)  # steps to come need it
    (folder.parent / "base").mkdir()
    (folder.parent / "kept").rename(folder.parent / "base" / "content.json")
    opened(folder)


def test_a_smaller_batch_goes_on_without_what_the_unfinished_training_left(folder: Path) -> None:
    left = [folder / f"round-{number}" / "train" / "checkpoint" for number in (2, 3)]
    for one in left:
        one.mkdir(parents=True)
    run = opened(folder, "train.batch_size=8")
    assert [one.exists() for one in left] == [True, False]  # round 2 is trained
    assert run.config.train.batch_size == 8
    assert yaml.safe_load((folder / "config.yaml").read_text())["train"]["batch_size"] == 8
    (change,) = changes.read(str(folder))
    assert (change["what"], change["first"]) == ("train.batch_size: 32 -> 8", "round 3 · train")
    do(run)
    batches = [run.done(number, BY_NAME["train"]).settings["train.batch_size"] for number in (1, 2, 3)]  # type: ignore[union-attr]
    assert batches == [32, 32, 8]
    opened(folder, "train.batch_size=8")
    assert len(changes.read(str(folder))) == 1


def test_a_change_that_cannot_touch_its_result_leaves_the_unfinished_training(folder: Path) -> None:
    left = folder / "round-3" / "train" / "checkpoint"
    left.mkdir(parents=True)
    opened(folder, "train.num_workers=1", "train.gradient_checkpointing=true", "generate.batch_size=4")
    opened(folder, "idr.rounds=2")
    opened(folder, "idr.rounds=4", "idr.steps=[120, 100, 100, 10]")
    assert left.exists()
    opened(folder, "idr.steps=[120, 100, 7]")
    assert not left.exists()


def test_more_rounds_extend_a_finished_run(folder: Path) -> None:
    do(opened(folder))
    run = opened(folder, "idr.rounds=4", "idr.steps=[120, 100, 100, 50]")
    assert do(run, until=(4, "feedback"))[0] == "round 4 · score"


def test_steps_are_done_anew_on_request_and_the_same_command_goes_on(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"train.temperature: 0.05 -> 0.1, used by round 1 · train;.*--redo-from 1/train$"
    ):
        opened(folder, "train.temperature=0.1")
    assert "1/train" in steps(opened(folder))
    run = opened(folder, "train.temperature=0.1", redo_from="train")
    assert steps(run)[-1] == "1/encode"
    do(run, until=(2, "score"))  # then it is killed, and the same command is given
    again = opened(folder, "train.temperature=0.1", redo_from="train")
    assert steps(again)[-1] == "2/score"
    do(again)
    again.write_summary("done")
    assert steps(opened(folder, "train.temperature=0.1", redo_from="2/train"))[-1] == "2/inspect"
    redone = [one["what"] for one in changes.read(str(folder)) if one["what"].startswith("--redo-from")]
    assert redone == ["--redo-from train", "--redo-from 2/train"]


def test_the_same_request_after_the_end_is_a_new_one(folder: Path) -> None:
    for _ in range(2):
        run = opened(folder, redo_from="measure")
        assert do(run)[0] == "round 0 · measure"
        run.write_summary("done")


def test_measures_alone_are_done_anew(folder: Path) -> None:
    do(opened(folder))
    assert do(opened(folder, "evaluate.fid_features=inception", redo_from="measure")) == [
        f"round {number} · measure" for number in range(4)
    ]


def test_a_hurt_manifest_is_no_hindrance_to_doing_its_step_anew(folder: Path) -> None:
    (folder / "round-1" / "steps" / "train.json").write_bytes(b"\x00")
    assert steps(opened(folder, redo_from="1/train"))[-1] == "1/encode"


@pytest.mark.parametrize("text", ["trian", "9/train", "x/train", "", "train,", "/train", "-1/train"])
def test_a_step_that_is_none_is_one_line(folder: Path, text: str) -> None:
    if not text:
        assert "2/train" in steps(opened(folder, redo_from=text))
        return
    before = steps(opened(folder))
    with pytest.raises(
        UserError, match=r"^--redo-from .*there is no such step; give STEP or ROUND/STEP with one of calib"
    ):
        opened(folder, redo_from=text)
    assert steps(opened(folder)) == before


def test_without_a_run_nothing_can_be_done_anew(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no run, of which steps could be done anew; leave out --redo-from"):
        opened(folder.parent / "other", redo_from="train")
    assert not (folder.parent / "other").exists()


def test_other_code_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(folder)
    assert "other code" not in capsys.readouterr().err
    path = folder / "round-2" / "steps" / "train.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(manifest))
    opened(folder)
    assert "this is other code than round 2 · train was done with: torch 1.0 -> " in capsys.readouterr().err


def test_a_run_of_an_older_version_goes_on(folder: Path) -> None:
    for path in folder.glob("round-*/steps/*.json"):
        manifest = json.loads(path.read_text())
        for key in ("inputs", "settings", "versions"):
            del manifest[key]
        path.write_text(json.dumps(manifest))
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    del settings["idr"]["inspect"], settings["evaluate"]["batch_size"], settings["train"]["ema_decay"]
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    assert steps(opened(folder))[-1] == "2/train"
    with pytest.raises(UserError, match=r"train.ema_decay: None -> 0.9, used by round 1 · train"):
        opened(folder, "train.ema_decay=0.9")
