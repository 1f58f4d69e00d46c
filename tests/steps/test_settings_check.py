"""Settings of a run that contradict each other, found from the settings alone."""

from __future__ import annotations

import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.steps import settings_check

WHOLE_SCORES = ["judge.hosted.url=https://a.invalid/v1", "judge.hosted.logprobs=false"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["idr.rounds=4"], r"idr\.steps has 3 numbers for idr\.rounds=4"),
        (["idr.keep_rows=[9,8]"], r"idr\.keep_rows has 2 numbers for idr\.rounds=3; give one a round"),
        (["idr.keep_rows=[9,8,7]", "idr.keep_fraction=0.5"], "both say how many rows are kept"),
        (["idr.given_scores=a.csv", "idr.select=false"], r"which idr\.select=false turns off"),
        (["idr.given_scores=a.csv", "idr.given_feedback=fog"], "it needs idr.select=true"),
        (["idr.feedback=false", "idr.given_feedback=fog"], "it needs idr.select=true"),
        (["idr.keep_rows=[9,8,7]", "judge.cascade.clip=models/clip"], "or no cascade"),
        (["idr.keep_rows=[9,8,7]", *WHOLE_SCORES], r"which judge\.hosted\.logprobs=false gives up"),
    ],
)
def test_settings_that_contradict_each_other(settings: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings_check.check(load(Config, "mini", settings))


def test_settings_of_controls() -> None:
    ranked = ["idr.given_scores=a.csv", "idr.keep_rows=[9,8,7]"]
    settings_check.check(load(Config, "mini", ranked))
    settings_check.check(load(Config, "mini", [*ranked, *WHOLE_SCORES]))  # the judge ranks nothing
    settings_check.check(load(Config, "mini", [*ranked, "judge.cascade.clip=models/clip"]))
    settings_check.check(load(Config, "mini", ["idr.given_feedback=fog"]))
