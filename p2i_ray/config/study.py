"""Settings of a user study: what raters are asked about pairs of pictures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from p2i_ray.config.base import Result, Runtime, Settings

BETWEEN = " - "  # a criterion's name and its question
DEFAULT = (
    "visual appeal - Which picture is more pleasant to look at?",
    "consistency - In which picture do background and product go together better?",
    "overall quality - Which picture is better on the whole?",
)


class StudyConfig(Settings):
    """The page that raters answer, and the judge as one more rater."""

    title: Result[str] = Field("Which picture is better?", min_length=1, max_length=200, description="the page's title")
    criteria: Result[tuple[str, ...]] = Field(
        DEFAULT,
        min_length=1,
        max_length=6,
        description='what is asked about each pair, "name - question" (paper: these three)',
    )
    pairs: Result[Literal["reference", "all"]] = Field(
        "reference", description="pairs of methods: each with study.reference, or all with all"
    )
    reference: Result[str | None] = Field(
        None, description="name of the method that the others are compared with (none: the first of evaluated)"
    )
    cutouts: Result[bool] = Field(True, description="also show the product as it was given, small")
    side: Result[int] = Field(
        640, ge=64, le=2048, description="longest side of a picture on the page, pixels; larger ones are made smaller"
    )
    max_mb: Runtime[int] = Field(100, ge=1, le=1000, description="largest page, MB; raters' phones load it whole")
    judge: Result[bool] = Field(False, description="the judge scores the pictures, as one more rater in its own row")
    judge_margin: Result[float] = Field(
        0.25, ge=0, le=4, description="expected scores that differ by no more are no difference to the judge"
    )

    @field_validator("criteria")
    @classmethod
    def _named(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        names = [one.partition(BETWEEN)[0].strip() for one in criteria]
        for one, name in zip(criteria, names, strict=True):
            if not name or not one.partition(BETWEEN)[2].strip():
                raise ValueError(f'{one!r} is no criterion; write "name{BETWEEN}question"')
        if len(set(names)) < len(names):
            raise ValueError("two criteria have the same name; give each its own")
        return criteria
