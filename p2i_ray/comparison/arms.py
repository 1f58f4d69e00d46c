"""The arms of a comparison: runs of the loop that differ from it in one thing each, at equal steps.

An arm that selects by something else than the judge keeps as many rows in each round as the loop itself did, so that
what differs is which rows, not how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2i_ray.config import Config
from p2i_ray.config.comparison import REFERENCE, ArmName, ComparisonConfig
from p2i_ray.errors import UserError

# What no arm needs: pictures before training, the judge on training photos (the loop alone has some of it), and the
# held-out judge's word on each round, which evaluations have.
PLAIN = {
    "idr.baseline": False,
    "calibration.rows": 0,
    "evaluate.judge.model": None,
    "evaluate.judge.hosted.url": None,  # which can't be without a model
}


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        name: in settings and folders.
        title: in tables.
        question: that the difference to the loop answers.
        settings: that it has otherwise.
        scores: the column of scores that selects in the judge's place.
        sized: whether it keeps as many rows a round as the loop.
        own_pictures: whether it trains on the best of the base model's own pictures.
    """

    name: ArmName
    title: str
    question: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: str | None = None
    sized: bool = False
    own_pictures: bool = False


ARMS = (
    Arm("feedback", "judge with feedback", "the loop itself"),
    Arm("no_feedback", "judge without feedback", "does feedback help?", {"idr.feedback": False}),
    Arm("placebo", "judge with placebo feedback", "is it the feedback, or any strictness?"),
    Arm("rank", "judge with feedback, top share", "threshold or rank?", sized=True),
    Arm("no_filter", "no selection", "does selecting help?", {"idr.select": False}),
    Arm("random", "random rows, as many", "is it the rows, or their number?", scores="random", sized=True),
    Arm("clip_score", "CLIP score, as many", "is a judge needed?", scores="clip_score", sized=True),
    Arm("aesthetics", "aesthetic score, as many", "is a judge needed?", scores="aesthetics", sized=True),
    Arm("colourfulness", "colourfulness, as many", "is a judge needed?", scores="colourfulness", sized=True),
    Arm("truth", "the truth, as many", "how far could a perfect judge go?", scores="truth", sized=True),
    Arm(
        "self_training",
        "own pictures, best of n",
        "is data needed, or only the judge?",
        {"idr.select": False},
        own_pictures=True,
    ),
    Arm("no_cba", "without CBA", "does contrastive background alignment help?", {"train.contrastive_weight": 0.0}),
    Arm(
        "epbd_ft",
        "EPBD-FT",
        "the paper's strongest baseline",
        {
            "idr.select": False,
            "train.contrastive_weight": 0.0,
            "diffusion.token": None,
        },
    ),
)
BY_NAME: dict[str, Arm] = {arm.name: arm for arm in ARMS}


def chosen(settings: ComparisonConfig) -> list[Arm]:
    """The loop itself and the arms that the settings name, in the order of `ARMS`.

    Raises:
        UserError: an arm lacks what it needs.
    """
    if "truth" in settings.arms and settings.truth is None:
        raise UserError(
            "the arm truth needs comparison.truth, a file of id and score; or leave it out of comparison.arms"
        )
    return [arm for arm in ARMS if arm.name == REFERENCE or arm.name in settings.arms]


def config_of(
    arm: Arm,
    config: Config,
    comparison: ComparisonConfig,
    *,
    seed: int,
    prompt: str,
    kept: Sequence[int] = (),
    given_scores: str | None = None,
    steps: Sequence[int] | None = None,
) -> Config:
    """The settings of an arm's run.

    Args:
        arm: see there.
        config: the settings that all arms share.
        comparison: of the comparison.
        seed: of the run.
        prompt: of the baselines, which EPBD-FT shares (section 5.1.2).
        kept: rows that the loop kept in each round, where the arm is sized.
        given_scores: file of the arm's scores, where it has some.
        steps: of each round, where they are not the settings' own.
    """
    changed: dict[str, Any] = {**PLAIN, "seed": seed, "idr.validate_rounds": False, **arm.settings}
    if arm.name != REFERENCE:
        changed["idr.inspect"] = 0
    if arm.name == "placebo":
        changed["idr.given_feedback"] = comparison.placebo
    if arm.scores:
        changed["idr.given_scores"] = given_scores
    if arm.name == "epbd_ft":
        changed["diffusion.prompt"] = prompt
    if arm.sized:
        changed |= {"idr.keep_rows": tuple(kept), "idr.keep_fraction": None}
    if steps is not None:
        changed["idr.steps"] = tuple(steps)
    return changed_config(config, changed)


def changed_config(config: Config, changed: Mapping[str, Any]) -> Config:
    """The settings that all jobs share, some of them changed.

    Args:
        config: of a job.
        changed: values by dotted key.
    """
    values: dict[str, Any] = config.model_dump(include=set(Config.model_fields))
    for key, value in changed.items():
        *groups, name = key.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[name] = value
    made = Config.model_validate(values)
    made.remember_source(config.source_of_settings)
    return made
