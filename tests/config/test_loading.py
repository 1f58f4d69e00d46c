"""Settings: what a person mistypes is answered with one line that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from p2i_ray.config import PRESETS, Config, Effect, Result, Runtime, Settings, changed_settings, describe, load, renamed
from p2i_ray.config.loading import dump, effects, read_dump, with_defaults
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.errors import UserError
from tests.support.load_job import load_job


class Job(Config):
    run_dir: str = Field(description="where")
    data: str = Field(description="what")


@pytest.mark.parametrize("preset", sorted(p.stem for p in PRESETS.glob("*.yaml")))
def test_presets_load(preset: str) -> None:
    job = load(Job, preset, ["run_dir=a", "data=b"])
    assert job.idr.rounds == (2 if preset == "mini-tables" else 3) and job.run_dir == "a"


def test_a100x4_has_the_papers_numbers() -> None:
    job = load(Job, "a100x4", ["run_dir=a", "data=b"])
    assert (job.train.lr_unet, job.train.lr_text, job.train.batch_size, job.train.num_workers) == (1e-5, 1e-6, 64, 4)
    assert (job.train.contrastive_weight, job.train.temperature) == (0.01, 0.05)
    assert (job.idr.gamma, job.idr.steps) == (4, (3000, 1000, 1000))
    assert (job.generate.num_inference_steps, job.image.resolution) == (30, 512)


def test_a_setting_from_the_command_line_wins() -> None:
    job = load(Job, "mini", ["idr.gamma=3.5", "judge.reasoned=true", "idr.steps=[1, 2, 3]"])
    assert (job.idr.gamma, job.judge.reasoned, job.idr.steps) == (3.5, True, (1, 2, 3))
    assert job.train.batch_size == 32  # the preset's


def test_what_file_uris_name_is_a_path() -> None:
    job = load(Job, "mini", ["data=file:///tmp/my%20data", "judge.prompts=file:///tmp/p", "run_dir=s3://bucket/run"])
    assert (job.data, job.judge.prompts, job.run_dir) == ("/tmp/my data", "/tmp/p", "s3://bucket/run")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/photos/mugs #2", "/photos/mugs #2"),  # a comment in YAML
        ("2026-11-28", "2026-11-28"),
        ("1_000", "1_000"),
        ("a: b", "a: b"),
        ("[x]", "[x]"),
        ("null", "null"),
        ("'with quotes'", "with quotes"),
        ("it's", "it's"),
    ],
)
def test_text_on_the_command_line_is_taken_as_it_stands(text: str, value: str) -> None:
    assert load(Job, "mini", [f"data={text}"]).data == value


def test_choices_and_null_on_the_command_line() -> None:
    job = load(Job, "mini", ["train.mixed_precision=no", "diffusion.token=null", "judge.cache=", "train.zero_stage=1"])
    assert (job.train.mixed_precision, job.train.zero_stage) == ("no", 1)
    assert job.diffusion.token is None and job.judge.cache is None


def test_a_preset_may_name_keys_of_other_jobs() -> None:
    assert load(Config, "mini").image.resolution == 64


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("idr.gama=3", "unknown setting 'idr.gama'; did you mean 'idr.gamma'?"),
        ("gamma=3", "did you mean 'idr.gamma'?"),
        ("train.batchsize=3", "did you mean 'train.batch_size'?"),
        ("idr.gamma", "has no value; write key=value"),
        ("idr.gamma=9", "idr.gamma=9: Input should be less than or equal to 5"),
        ("train.batch_size=many", "train.batch_size='many': Input should be a valid integer"),
        ("split=train", "unknown setting 'split'"),
        ("run_dir=", "setting run_dir=: it is empty; give a value"),
        ("idr.steps=100", "setting idr.steps=100: it is a list; write [100]"),
        ("idr.steps=[10,0,-1]", "setting idr.steps.1=0: Input should be greater than or equal to 1"),
        ("judge.flaws=[blur?]", "it is no list in YAML; put single quotes around each text in it"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        load(Job, "mini", [setting])
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_missing_preset_lists_those_there_are() -> None:
    with pytest.raises(UserError, match=r"neither a preset \(a100x4, .*mini.*\) nor a file; did you mean 'mini'\?"):
        load(Job, "minni")


def test_a_file_is_a_config_too(tmp_path: Path) -> None:
    values = yaml.safe_load((PRESETS / "mini.yaml").read_text())
    values["idr"]["gama"] = 3
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"unknown setting 'idr.gama'.*did you mean 'idr.gamma'"):
        load(Job, str(tmp_path / "mine.yaml"))
    (tmp_path / "no.yaml").write_text((PRESETS / "mini.yaml").read_text().replace('"no"', "no"))
    with pytest.raises(UserError, match=r"mixed_precision=False: .*'no' or 'bf16'; in a YAML file put quotes"):
        load(Job, str(tmp_path / "no.yaml"))
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"broken.yaml' is not YAML"):
        load(Job, str(tmp_path / "broken.yaml"))


def test_a_job_key_without_a_value_is_asked_for() -> None:
    with pytest.raises(UserError, match="setting 'data' is missing; give it as data=VALUE"):
        load(Job, "a100x4", ["run_dir=x"])


def test_every_setting_is_described() -> None:
    rows = list(describe(Job))
    assert ("idr.gamma", "4", "lowest score that is kept (paper: 4)") in rows
    assert ("data", "required", "what") in rows
    assert all(description for _, _, description in rows)


class Group(Settings):
    c: Result[int] = Field(5, description="counts")
    d: Runtime[int] = Field(3, description="does not")
    e: int = Field(0, description="not marked, so it counts")


class Marked(Settings):
    a: Result[int] = Field(9, description="counts")
    b: Group = Group()


def changed(old: dict[str, object], new: Settings) -> list[tuple[str, Effect]]:
    return [(str(one), one.effect) for one in changed_settings(old, new)]


def test_changed_settings_are_named_with_both_values_and_their_effect() -> None:
    assert changed({"a": 1, "b": {"c": 2, "d": 4, "e": 1}}, Marked()) == [
        ("a: 1 -> 9", Effect.RESULT),
        ("b.c: 2 -> 5", Effect.RESULT),
        ("b.d: 4 -> 3", Effect.RUNTIME),
        ("b.e: 1 -> 0", Effect.RESULT),
    ]


def test_what_an_older_version_did_not_know_counts_as_its_default() -> None:
    assert changed({"a": 9, "b": {"d": 3}, "gone": 1}, Marked()) == []
    assert changed({"b": {"d": 3}}, Marked(a=1, b=Group(c=6))) == [
        ("a: 9 -> 1", Effect.RESULT),
        ("b.c: 5 -> 6", Effect.RESULT),
    ]


def test_an_old_dump_is_filled_up_with_defaults() -> None:
    config = load(Job, "mini", ["run_dir=a", "data=b"])
    old = config.model_dump(mode="json")
    del old["idr"]["inspect"], old["evaluate"], old["train"]["tracking"]
    old["judge"]["gone"] = 1
    filled = with_defaults(old)
    assert (filled["run_dir"], filled["idr"]["inspect"], filled["train"]["tracking"]["samples"]) == ("a", 256, 4)
    assert filled["evaluate"] == {**config.evaluate.model_dump(), "clip": None, "fid_features": "inception"} | {
        "batch_size": 32,
        "num_cpus": 1,
        "scenes": None,
    }
    assert Job.model_validate({**filled, "evaluate": config.evaluate}).judge == config.judge


def test_a_whole_dump_is_read_and_a_part_of_it_is_not() -> None:
    config = load(Config, "mini")
    whole = dump(config)
    assert read_dump(whole) == config.model_dump(mode="json")
    lines = whole.splitlines(keepends=True)
    parts = ["", "a", "\x00\x01", *("".join(lines[:count]) for count in range(1, len(lines)))]
    for part in parts:
        with pytest.raises(UserError, match=r"^place/config.yaml .*restore it from a copy") as raised:
            read_dump(part, "place/config.yaml")
        assert "\n" not in str(raised.value)


def test_an_old_dump_is_compared_by_todays_names() -> None:
    config = load(Config, "a100x4")
    old = config.model_dump(mode="json")
    old["painter"] = old.pop("diffusion")
    old["train"]["dtype"] = {"no": "fp32"}.get(old["train"].pop("mixed_precision"), "bf16")
    old["train"]["workers"] = 1 + old["train"].pop("num_workers")  # it may change
    assert [str(one) for one in changed_settings(read_dump(yaml.safe_dump(old)), config)] == [
        "train.num_workers: 5 -> 4"
    ]
    old["painter"]["base"] = "elsewhere"
    assert [str(one) for one in changed_settings(read_dump(yaml.safe_dump(old)), config)] == [
        f"diffusion.base: 'elsewhere' -> {config.diffusion.base!r}",
        "train.num_workers: 5 -> 4",
    ]


def test_an_old_dump_is_read_with_todays_names() -> None:
    old = "painter: {base: x}\ntrain: {dtype: fp32, tracking: {steps: 3}}\nidr: {ahead: true, steps: [1, 2]}\nseed: 4\n"
    assert read_dump(old) == {
        "diffusion": {"base": "x"},
        "train": {"mixed_precision": "no", "tracking": {"num_inference_steps": 3}},
        "idr": {"overlap": True, "steps": [1, 2]},
        "judge": {"flaws": ["wrong scene", "plain background", "text overlay", "clutter", "blur"]},
        "seed": 4,
    }


@pytest.mark.parametrize(("preset", "changed"), [("mini", []), ("a100x4", ["judge.flaws"])])
def test_before_flaws_were_a_setting_there_were_five(preset: str, changed: list[str]) -> None:
    config = load(Config, preset)
    old = config.model_dump(mode="json")
    del old["judge"]["flaws"]
    assert [one.key for one in changed_settings(read_dump(yaml.safe_dump(old)), config)] == changed


def test_every_setting_of_a_run_says_whether_it_can_change_a_result() -> None:
    unmarked = [key for key, effect in effects(load_job("idr").IdrJob) if effect is None]
    assert unmarked == []


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            "train.num_workers=3",
            "train.batch_size=64 can't be shared by train.num_workers=3 x train.gradient_accumulation_steps=1; make",
        ),
        (
            "train.min_workers=2",
            "train.min_workers=2 allows 3 workers, which can't share the 4 micro-batches",
        ),
        ("train.min_workers=5", "train.min_workers=5 is more than train.num_workers=4"),
        ("train.zero_stage=0", "train.zero_stage=0 has no full-precision weights next to bf16 ones"),
        ("judge.max_replicas=1", "judge.max_replicas=1 is less than judge.replicas=4"),
    ],
)
def test_settings_that_do_not_fit_together(setting: str, line: str) -> None:
    with pytest.raises(UserError) as raised:
        load(Job, "a100x4", ["run_dir=x", "data=x", setting])
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("painter.base=x", "setting 'painter.base' is now called 'diffusion.base'"),
        ("train.accumulation=2", "is now called 'train.gradient_accumulation_steps'"),
        ("train.tracking.guidance=2", "is now called 'train.tracking.guidance_scale'"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(given: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(Config, "a100x4", [given])


def test_an_old_name_in_a_file_is_answered_with_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("generate: {steps: 3}\n")
    with pytest.raises(UserError, match=r"'generate.steps' in .* is now called 'generate.num_inference_steps'"):
        load(Config, str(tmp_path / "mine.yaml"))


def test_new_names_exist_and_old_ones_do_not() -> None:
    jobs = [ServeJobConfig, load_job("idr").IdrJob, load_job("idr").PlanJob]
    known = {key for job in jobs for key, _, _ in describe(job)}
    groups = {key.rpartition(".")[0] for key in known}
    assert set(renamed.NAMES.values()) <= known | groups
    assert not set(renamed.NAMES) & (known | groups)
