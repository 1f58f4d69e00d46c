"""A run folder: steps are done once, and a run goes on where it was killed."""

from __future__ import annotations

import json
import time
import traceback
import uuid
from pathlib import Path

import fsspec
import pytest

from chaos.bucket import Bucket
from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run.folder import Counts, Run
from p2i_ray.run.inputs import RunInput
from p2i_ray.run.step_table import FEEDBACK, GENERATE, MEASURE, SCORE, SELECT, TRAIN
from p2i_ray.storage import folders


@pytest.fixture
def config() -> Config:
    return load(Config, "mini")


def test_a_finished_step_is_not_done_again(tmp_path: Path, config: Config) -> None:
    calls = []

    def work(out: str) -> Counts:
        calls.append(out)
        Path(out).mkdir(parents=True)
        (Path(out) / "a").touch()
        return Counts(rows_in=3, rows_out=2, set_aside=1, files=["a"], facts={"x": 1})

    first = Run.open(str(tmp_path / "run"), config).once(1, SCORE, work)
    again = Run.open(str(tmp_path / "run"), config).once(1, SCORE, work)
    assert calls == [str(tmp_path / "run" / "round-1" / "scores")] and first == again


def test_a_forgotten_step_is_done_again(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path), config)
    run.once(1, SCORE, lambda _: Counts(rows_in=1))
    run.forget(1, SCORE)
    assert run.done(1, SCORE) is None
    assert run.once(1, SCORE, lambda _: Counts(rows_in=2)).rows_in == 2


def test_a_folder_that_is_away_is_not_one_in_which_nothing_is_done(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "disk" / "run"), config)
    run.once(1, SCORE, lambda _: Counts(rows_in=1))
    (tmp_path / "disk").rename(tmp_path / "away")
    for ask in (lambda: run.done(1, SCORE), lambda: run.once(1, SCORE, lambda _: Counts(rows_in=2))):
        with pytest.raises(UserError, match="is away; when it is back"):
            ask()
    (tmp_path / "away").rename(tmp_path / "disk")
    found = run.done(1, SCORE)
    assert found is not None and found.rows_in == 1


def test_files_that_were_written_elsewhere_do_not_count_as_done(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)

    def work(out: str) -> Counts:
        Path(out).mkdir(parents=True)
        (Path(out) / "a").touch()
        return Counts(rows_in=2, files=["a", "b"])  # b while the disk was away

    with pytest.raises(UserError, match=r"1 of 2 files written to .*scores are not there"):
        run.once(1, SCORE, work)
    assert run.done(1, SCORE) is None


def test_files_that_workers_write_to_a_bucket_while_it_is_watched_count(config: Config, s3_bucket: Bucket) -> None:
    run = Run.open(f"{s3_bucket.uri}/{uuid.uuid4().hex}", config)
    names = ["part-a.parquet", "part-b.parquet"]

    def work(out: str) -> Counts:
        for number, name in enumerate(names):
            filesystem, path = fsspec.core.url_to_fs(f"{out}/{name}", skip_instance_cache=True)  # another process's
            filesystem.pipe_file(path, b"rows")
            assert len(folders.files(out)) == number + 1  # as what starts early looks for finished files
        return Counts(rows_in=2, rows_out=2, files=names)

    assert run.once(1, SCORE, work).files == names
    assert Run.open(run.dir, config).done(1, SCORE) is not None


def test_a_killed_step_starts_over_without_its_leftovers(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)

    def killed(out: str) -> Counts:
        Path(out).mkdir(parents=True)
        Path(out, "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.once(1, SCORE, killed)
    seen = []
    run.once(1, SCORE, lambda out: seen.append(Path(out).exists()) or Counts())
    assert seen == [False] and run.done(1, SCORE)


def test_a_users_mistake_within_a_step_names_round_and_step(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)

    def mistaken(_: str) -> Counts:
        raise UserError("no rows are left; lower idr.gamma")

    def mistaken_in_a_worker(_: str) -> Counts:
        raise RuntimeError("a task failed\nTraceback …\np2i_ray.errors.UserError: a picture is broken\n")

    with pytest.raises(UserError, match=r"^round 2/3 · train: no rows are left; lower idr.gamma$"):
        run.once(2, TRAIN, mistaken)
    with pytest.raises(UserError, match=r"^round 1/3 · score: a picture is broken$"):
        run.once(1, SCORE, mistaken_in_a_worker)


def test_a_crash_within_a_step_is_told_with_round_and_step(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)
    with pytest.raises(ZeroDivisionError) as caught:
        run.once(0, MEASURE, lambda _: Counts(rows_in=1 // 0))
    assert traceback.format_exception(caught.value)[-1] == "round 0/3 · measure\n"


def test_a_step_says_when_it_began_and_the_run_where_the_time_went(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)
    before = time.time()
    with run.attempt:
        manifest = run.once(1, SCORE, lambda _: Counts(rows_in=8, rows_out=8, set_aside=2))
        run.once(1, SELECT, lambda _: Counts(rows_in=8, rows_out=2))
        run.write_summary("done")
    assert manifest.began and before <= manifest.began <= time.time()
    account = json.loads((tmp_path / "run" / "run.json").read_text())["account"]
    assert account["attempts"] == 1 and 0 <= account["driver_s"] <= account["wall_s"] < 60
    record = run.attempt.record()
    assert (record.kept_fraction, record.set_aside) == (0.25, 2)
    assert [span.name for span in record.spans] == ["score", "select"]

    again = Run.open(str(tmp_path / "run"), config)  # what is done already counts for the figures, and is no span
    with again.attempt:
        again.once(1, SELECT, lambda _: Counts())
    assert again.attempt.record().kept_fraction == 0.25 and again.attempt.record().spans == []


def test_a_manifest_says_what_its_step_was_done_with(tmp_path: Path, config: Config) -> None:
    (tmp_path / "model").write_text("weights")
    inputs = [RunInput("diffusion.base", str(tmp_path / "model")), RunInput("judge.model", text="gpt")]
    run = Run.open(str(tmp_path / "run"), config, inputs=inputs)
    run.once(1, TRAIN, lambda _: Counts())
    run.once(1, FEEDBACK, lambda _: Counts(facts={"feedback": "blur"}))
    train, feedback = run.done(1, TRAIN), run.done(1, FEEDBACK)
    assert train and feedback and train.inputs and list(train.inputs) == ["diffusion.base"]
    assert feedback.inputs == {"judge.model": "name-gpt"}
    assert train.settings["train.batch_size"] == 32 and "judge.max_model_len" in feedback.settings
    assert train.versions["p2i_ray"] and train.versions["ray"]


def test_an_input_that_changes_while_it_is_used_ends_the_step(tmp_path: Path, config: Config) -> None:
    (tmp_path / "model").write_text("weights")
    run = Run.open(str(tmp_path / "run"), config, inputs=[RunInput("diffusion.base", str(tmp_path / "model"))])
    run.once(0, GENERATE, lambda _: Counts())  # whose manifest waits until the content was read

    def work(_: str) -> Counts:
        (tmp_path / "model").write_text("others!")
        return Counts()

    line = rf"^round 1/3 · train: diffusion.base \({tmp_path}/model\) was changed while the run used it; put back"
    with pytest.raises(UserError, match=line):
        run.once(1, TRAIN, work)
    assert run.done(1, TRAIN) is None
    with pytest.raises(UserError, match=line):
        run.once(1, TRAIN, lambda _: pytest.fail("it is not begun"))
    (tmp_path / "model").write_text("weights")  # put back
    run.once(1, TRAIN, lambda _: Counts())


def test_hurt_manifests_are_one_line_with_the_files_name(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path), config)
    run.once(1, SCORE, lambda _: Counts())
    path = tmp_path / "round-1" / "steps" / "score.json"
    whole = path.read_bytes()
    for hurt in (b"", whole[: len(whole) // 2], b"\x00\xff" * 99, b"[]"):
        path.write_bytes(hurt)
        for ask in (lambda: run.done(1, SCORE), lambda: Run.open(str(tmp_path), config)):
            with pytest.raises(UserError, match=f"^{path} is no manifest of a step: .* or remove it") as raised:
                ask()
            assert "\n" not in str(raised.value)
    path.unlink()
    path.with_name("._score.json").write_bytes(b"\x00\x05\x16\x07")  # macOS puts it beside a copy
    assert Run.open(str(tmp_path), config).done(1, SCORE) is None  # the advice works


def test_where_a_run_works_may_change(tmp_path: Path, config: Config) -> None:
    Run.open(str(tmp_path), config)
    Run.open(str(tmp_path), load(Config, "mini", ["ray.local_cpus=8", "features.cache=s3://bucket/features"]))


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, config: Config) -> None:
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        Run.open(str(tmp_path), config)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_run_json_sums_up_the_manifests(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path), config)
    run.once(1, SCORE, lambda _: Counts(rows_in=5, rows_out=5, set_aside=1))
    run.once(1, SELECT, lambda _: Counts(rows_in=5, rows_out=3))
    run.once(1, MEASURE, lambda _: Counts(facts={"fid": 1.5}))
    run.once(1, FEEDBACK, lambda _: Counts(facts={"feedback": "less text"}))
    summary = json.loads((tmp_path / "run.json").read_text())
    assert summary["status"] == "running" and summary["versions"]["ray"]
    (only,) = summary["rounds"]
    assert {k: only[k] for k in ("round", "kept", "set_aside", "feedback", "metrics")} == {
        "round": 1,
        "kept": 3,
        "set_aside": 1,
        "feedback": "less text",
        "metrics": {"fid": 1.5},
    }
    assert only["steps"]["score"]["rows_in"] == 5
    assert "1.50" in run.table() and "less text" in run.table()


def test_publish_copies_the_model_and_ends_the_run(tmp_path: Path, config: Config) -> None:
    run = Run.open(str(tmp_path / "run"), config)
    (tmp_path / "checkpoint" / "unet").mkdir(parents=True)
    (tmp_path / "checkpoint" / "unet" / "weights").write_text("w")
    run.publish(str(tmp_path / "checkpoint"))
    run.publish(str(tmp_path / "checkpoint"))  # again, after a kill between copy and end
    assert (tmp_path / "run" / "model" / "unet" / "weights").read_text() == "w"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"
