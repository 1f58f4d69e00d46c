"""What the arms of a comparison have otherwise than the loop, and nothing else."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from p2i_ray.comparison import subjects
from p2i_ray.comparison.arm_runs import in_turn
from p2i_ray.comparison.arms import ARMS, BY_NAME, PLAIN, chosen, config_of
from p2i_ray.config import Config, load
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.config.loading import flat
from p2i_ray.errors import UserError
from p2i_ray.run import step_table
from p2i_ray.steps import settings_check

CONFIG = load(Config, "mini")
PROMPT = "{name}, high-quality and appropriate background"
SETTINGS = ComparisonConfig(truth="gold.csv")


@pytest.mark.parametrize(
    ("arm", "painted"),
    [
        ("feedback", [1, 2]),
        ("placebo", [1, 2]),
        ("no_cba", [1, 2]),
        ("no_feedback", []),
        ("no_filter", []),
        ("random", []),
    ],
)
def test_an_arm_paints_only_what_its_feedback_comes_from(arm: str, painted: list[int]) -> None:
    """Of three rounds: after the last one nothing is selected any more. The judge looks at nothing else either."""
    config = config_of(
        BY_NAME[arm], CONFIG, SETTINGS, seed=5, prompt=PROMPT, kept=(9, 8, 7), given_scores="scores.parquet"
    )
    steps = [(number, step.name) for number, step in step_table.of_run(config)]
    assert [number for number, name in steps if name == "generate"] == painted
    assert [number for number, name in steps if name == "critique"] == painted
    assert [number for number, name in steps if name == "feedback"] == painted
    assert [number for number, name in steps if name == "train"] == [1, 2, 3]


def test_what_is_run_once_has_the_first_seed_alone() -> None:
    settings = ComparisonConfig(
        seeds=(3, 4),
        arms=("no_filter", "epbd_ft"),
        methods=("sd_inpainting", "lama"),
        splits=("test",),
        once=("epbd_ft", "lama", "sensitivity"),
    )
    turns = [(arm.name, seed) for arm, seed in in_turn(chosen(settings), settings)]
    assert turns == [("feedback", 3), ("no_filter", 3), ("epbd_ft", 3), ("feedback", 4), ("no_filter", 4)]
    methods = {seed: [subject.name for subject, _ in subjects.of_methods(settings, seed)] for seed in (3, 4)}
    assert methods == {3: ["sd_inpainting", "lama"], 4: ["sd_inpainting"]}
    assert [len(list(subjects.variants(settings, 2, 3.0, seed))) for seed in (3, 4)] == [5, 0]


def test_the_loop_itself_has_all_seeds() -> None:
    with pytest.raises(ValidationError, match="feedback is what all others are compared with"):
        ComparisonConfig(once=("feedback",))


def differing(arm: str) -> dict[str, object]:
    """The settings in which an arm differs from the loop's own arm of the same seed."""
    runs = [
        config_of(BY_NAME[name], CONFIG, SETTINGS, seed=5, prompt=PROMPT, kept=(9, 8, 7), given_scores="scores.parquet")
        for name in ("feedback", arm)
    ]
    settings_check.check(runs[1])
    loop, own = (dict(flat(run.model_dump(mode="json"))) for run in runs)
    return {key: own[key] for key in own if own[key] != loop[key] and key != "idr.inspect"}


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("feedback", {}),
        ("no_feedback", {"idr.feedback": False}),
        ("placebo", {"idr.given_feedback": "a watermark, human hands, a second product"}),
        ("rank", {"idr.keep_rows": [9, 8, 7]}),
        ("no_filter", {"idr.select": False}),
        ("random", {"idr.given_scores": "scores.parquet", "idr.keep_rows": [9, 8, 7]}),
        ("clip_score", {"idr.given_scores": "scores.parquet", "idr.keep_rows": [9, 8, 7]}),
        ("truth", {"idr.given_scores": "scores.parquet", "idr.keep_rows": [9, 8, 7]}),
        ("no_cba", {"train.contrastive_weight": 0.0}),
    ],
)
def test_an_arm_differs_in_what_its_name_says(arm: str, expected: dict[str, object]) -> None:
    assert differing(arm) == expected


def test_epbd_ft_is_plain_fine_tuning_with_the_papers_prompt() -> None:
    assert differing("epbd_ft") == {
        "idr.select": False,
        "train.contrastive_weight": 0.0,
        "diffusion.token": None,
        "diffusion.prompt": PROMPT,
    }


def test_no_arm_has_the_held_out_judge_hosted_or_not() -> None:
    judges = (["evaluate.judge.model=another"], ["evaluate.judge.model=m", "evaluate.judge.hosted.url=https://a/v1"])
    for given in judges:
        config = load(Config, "mini", given)
        assert config.held_out_judge
        made = config_of(BY_NAME["feedback"], config, SETTINGS, seed=0, prompt=PROMPT)
        assert made.held_out_judge is None


def test_all_arms_share_seed_and_steps() -> None:
    runs = [
        config_of(arm, CONFIG, SETTINGS, seed=3, prompt=PROMPT, kept=(9, 8, 7), given_scores="s.csv") for arm in ARMS
    ]
    assert {(run.seed, run.idr.steps, run.idr.rounds) for run in runs} == {(3, CONFIG.idr.steps, 3)}
    assert not any(run.idr.baseline or run.calibration.rows for run in runs) and PLAIN


def test_the_loop_is_always_among_them_and_first() -> None:
    assert [arm.name for arm in chosen(ComparisonConfig(arms=("random", "no_feedback")))] == [
        "feedback",
        "no_feedback",
        "random",
    ]


def test_the_truth_needs_a_file() -> None:
    with pytest.raises(UserError, match=r"the arm truth needs comparison\.truth"):
        chosen(ComparisonConfig(arms=("truth",)))


def test_an_arm_that_is_named_twice() -> None:
    with pytest.raises(ValueError, match="random is there twice"):
        ComparisonConfig(arms=("random", "random"))
