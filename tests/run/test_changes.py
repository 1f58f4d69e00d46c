"""Which changes between two attempts are refused, which are recorded, which are free; setting by setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.config import Config, changed_settings, load
from p2i_ray.config.base import Effect
from p2i_ray.config.loading import effects
from p2i_ray.errors import UserError
from p2i_ray.run import changes
from p2i_ray.run.manifests import Manifest
from p2i_ray.run.step_table import Key, depending_on, of_run
from tests.support.load_job import load_job

JOB = ["run_dir=/tmp/x", "data=/tmp/y"]


def done_until(number: int, name: str, **facts: object) -> dict[Key, Manifest]:
    """A run that was stopped after a step."""
    found = {}
    for one, step in of_run(load(Config, "mini")):
        found[step.key(one)] = Manifest(step=step.name, round=one, seconds=1, inputs={}, **facts)
        if step.key(one) == (number, name):
            return found
    raise AssertionError


def decide(done: dict[Key, Manifest], *settings: str) -> tuple[list[str], list[tuple[str, str | None]]]:
    """What is refused, and what is recorded with the first step that it applies to."""
    job = load_job("idr").IdrJob
    old, new = load(job, "mini", JOB).model_dump(mode="json"), load(job, "mini", [*JOB, *settings])
    conflicts, recorded = changes.of_settings(changed_settings(old, new), done, new)
    return [changes.title(one.steps[0]) for one in conflicts], [(one.what, one.first) for one in recorded]


@pytest.mark.parametrize(
    "setting",
    [
        "train.gradient_checkpointing=true",
        "train.gradient_accumulation_steps=2",
        "judge.replicas=2",
        "features.num_workers=2",
        "ray.local_cpus=8",
        "idr.overlap=false",
        "run_dir=/tmp/moved",
        "data=/tmp/y/",
        "data=/tmp/./y",
        "judge.hosted.usd_per_million_input=1",
    ],
)
def test_free(setting: str) -> None:
    assert decide(done_until(2, "generate"), setting) == ([], [])


@pytest.mark.parametrize(
    ("setting", "what", "first"),
    [
        ("train.batch_size=8", "train.batch_size: 32 -> 8", "round 3 · train"),
        ("generate.batch_size=4", "generate.batch_size: 16 -> 4", "round 3 · generate"),
        ("judge.max_num_seqs=16", "judge.max_num_seqs: 64 -> 16", "round 2 · critique"),
        ("features.batch_size=4", "features.batch_size: 32 -> 4", None),
        ("judge.max_model_len=600", "judge.max_model_len: 512 -> 600", "round 2 · critique"),
        ("train.zero_stage=2", "train.zero_stage: 1 -> 2", "round 3 · train"),
        ("train.lr_unet=0.0001", "train.lr_unet: 0.0005 -> 0.0001", "round 3 · train"),
        ("idr.gamma=3", "idr.gamma: 4.0 -> 3.0", "round 3 · score"),
        ("idr.steps=[120,100,7]", "idr.steps: [120, 100, 100] -> [120, 100, 7]", "round 3 · train"),
        ("idr.rounds=2", "idr.rounds: 3 -> 2", "round 2 · critique"),
        ("data=/tmp/moved", "data: '/tmp/y' -> '/tmp/moved'", "round 2 · critique"),  # its content is compared
    ],
)
def test_recorded(setting: str, what: str, first: str | None) -> None:
    refused, recorded = decide(done_until(2, "measure"), setting)
    assert refused == []
    assert recorded == [(what, first)]


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        ("seed=1", "round 0 · generate"),
        ("image.max_pixels=1000", "round 0 · generate"),
        ("judge.max_reason_tokens=32", "round 1 · calibrate"),
        ("judge.max_summary_tokens=32", "round 1 · feedback"),
        ("train.temperature=0.1", "round 1 · train"),
        ("evaluate.fid_features=inception", "round 0 · measure"),
        ("calibration.rows=3", "round 1 · calibrate"),
        ("idr.steps=[7,100,100]", "round 1 · train"),
        ("idr.rounds=1", "round 2 · score"),
        ("idr.threshold_on=expected_score", "round 1 · calibrate"),
    ],
)
def test_refused(setting: str, first: str) -> None:
    assert decide(done_until(2, "measure"), setting)[0] == [first]


def test_what_no_finished_step_depends_on_may_still_change() -> None:
    assert decide(done_until(0, "generate"), "train.temperature=0.1", "evaluate.fid_features=inception") == (
        [],
        [
            ("evaluate.fid_features: 'clip' -> 'inception'", "round 0 · measure"),
            ("train.temperature: 0.05 -> 0.1", "round 1 · train"),
        ],
    )


def test_a_round_is_selected_with_the_gamma_that_it_was_scored_with() -> None:
    assert decide(done_until(2, "score"), "idr.gamma=3")[0] == [
        "round 2 · score"
    ]  # with feedback, whose cap follows it
    assert decide(done_until(1, "score"), "idr.gamma=3") == ([], [("idr.gamma: 4.0 -> 3.0", "round 1 · select")])
    assert decide(done_until(2, "select"), "idr.gamma=3")[0] == []


def test_more_rounds_extend_a_finished_run() -> None:
    done = done_until(3, "feedback")
    assert decide(done, "idr.rounds=4", "idr.steps=[120,100,100,50]") == (
        [],
        [
            ("idr.rounds: 3 -> 4", "round 4 · score"),
            ("idr.steps: [120, 100, 100] -> [120, 100, 100, 50]", "round 4 · train"),
        ],
    )


def test_a_run_without_fingerprints_stays_with_its_places() -> None:
    done = {key: manifest.model_copy(update={"inputs": None}) for key, manifest in done_until(1, "score").items()}
    assert decide(done, "data=/tmp/moved")[0] == ["round 0 · generate"]
    assert decide(done, "judge.prompts=/tmp/moved")[0] == ["round 1 · calibrate"]


def test_the_line_names_the_changes_and_steps_from_which_all_can_be_done_anew() -> None:
    conflicts = [
        changes.Conflict("train.temperature: 0.05 -> 0.1", [(2, "train"), (3, "train")]),
        changes.Conflict("evaluate.fid_features: 'clip' -> 'inception'", [(0, "measure")]),
        changes.Conflict("judge.reasoned: False -> True", [(2, "critique")]),  # follows from the training
    ]
    with pytest.raises(UserError) as raised:
        changes.check("runs/a", conflicts, done_until(3, "feedback"))
    assert str(raised.value) == (
        "runs/a has finished steps that were made otherwise: train.temperature: 0.05 -> 0.1, used by round 2 · train; "
        "evaluate.fid_features: 'clip' -> 'inception', used by round 0 · measure; judge.reasoned: False -> True, used "
        "by round 2 · critique; change it back, give another run_dir, or have those steps and what follows from them "
        "done anew with --redo-from 0/measure,2/train"
    )
    changes.check("runs/a", [], {})


def test_what_follows_from_a_step() -> None:
    whole = [step.key(number) for number, step in of_run(load(Config, "mini", ["idr.rounds=2"]))]

    def after(*first: Key) -> list[Key]:
        return changes.dependents(first, whole)

    assert after((0, "measure")) == [(0, "measure")]
    assert after((0, "generate")) == [(0, "generate"), (0, "measure")]
    assert after((1, "calibrate")) == [(1, "calibrate")]
    assert after((2, "critique")) == [(2, "critique"), (2, "feedback")]
    second = [key for key in whole if key[0] == 2]
    made = [(1, name) for name in ("train", "generate", "measure", "critique", "feedback")]
    assert after((1, "encode")) == [(1, "encode"), *made, *second]
    assert after((1, "score")) == [(1, "score"), (1, "select"), (1, "inspect"), (1, "encode"), *made, *second]
    assert after((1, "measure"), (2, "generate")) == [(1, "measure"), *second[-4:]]


def test_every_setting_that_can_change_a_result_belongs_to_steps() -> None:
    marks = dict(effects(load_job("idr").IdrJob))
    everything = len(depending_on("unheard.of"))
    lost = [
        key
        for key, effect in marks.items()
        if effect in (Effect.RESULT, Effect.ADJUSTABLE) and len(depending_on(key)) == everything
    ]
    assert lost == ["idr.rounds"]


# What errors advise to change, in any round.
ADVISED = [
    "train.batch_size",
    "train.lr_unet",
    "train.lr_text",
    "train.max_loss_ratio",
    "train.gradient_accumulation_steps",
    "train.gradient_checkpointing",
    "train.zero_stage",
    "train.num_workers",
    "train.min_workers",
    "generate.batch_size",
    "features.batch_size",
    "evaluate.batch_size",
    "idr.gamma",
    "idr.keep_fraction",
    "idr.keep_rows",
    "judge.max_model_len",
    "judge.max_num_seqs",
    "judge.summary_examples",
    "judge.gpu_memory_utilization",
    "judge.kv_cache_gb",
    "judge.keep_warm",
    "judge.replicas",
    "judge.hosted.timeout_s",
    "judge.hosted.max_concurrent_requests",
    "judge.hosted.requests_per_minute",
    "judge.hosted.max_usd",
    "idr.judge_gpu_fraction",
    "judge.tensor_parallel_size",
    "judge.num_gpus",
    "ray.wait_for_nodes_s",
]


@pytest.mark.parametrize("setting", ADVISED)
def test_our_own_advice_can_be_followed(setting: str) -> None:
    assert dict(effects(load_job("idr").IdrJob))[setting] in (Effect.ADJUSTABLE, Effect.RUNTIME)


def test_the_record_grows_and_a_change_is_told_once(tmp_path: Path) -> None:
    first, second = (changes.Change(what, "2026-11-28T12:00:00+00:00", "round 1 · train") for what in "ab")
    changes.record(str(tmp_path), [first])
    changes.record(str(tmp_path), [first, second])
    assert [one["what"] for one in changes.read(str(tmp_path))] == ["a", "b"]
    for hurt in ("", "{}", "[1]", json.dumps([first._asdict()])[:9]):
        (tmp_path / "changes.json").write_text(hurt)
        with pytest.raises(UserError, match=r"changes.json is no record of changes; it was cut short"):
            changes.read(str(tmp_path))
