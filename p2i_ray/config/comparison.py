"""Settings of a comparison: which arms and methods stand in its tables, with how many seeds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from p2i_ray.config.base import Content, Result, Runtime, Settings

ArmName = Literal[
    "feedback",
    "no_feedback",
    "placebo",
    "rank",
    "no_filter",
    "random",
    "clip_score",
    "aesthetics",
    "colourfulness",
    "truth",
    "self_training",
    "no_cba",
    "epbd_ft",
]
BaselineName = Literal["sd_inpainting", "controlnet", "ip_adapter", "powerpaint", "lama"]
GeneratorsName = Literal["category", "personality", "category_personality"]
# Generators that a method has beside the model.
BY_GENERATORS: dict[str, tuple[str, ...]] = {
    "category": ("category",),
    "personality": ("personality",),
    "category_personality": ("category", "personality"),
}
REFERENCE: ArmName = "feedback"  # the loop itself


class ComparisonConfig(Settings):
    """The arms, which are runs of the loop that differ in one thing each, and the methods beside them."""

    seeds: Runtime[tuple[Annotated[int, Field(ge=0)], ...]] = Field(
        (0, 1, 2), min_length=1, description="seeds of every arm and method"
    )
    arms: Runtime[tuple[ArmName, ...]] = Field(
        ("no_feedback", "placebo", "rank", "no_filter", "random", "clip_score", "self_training", "no_cba", "epbd_ft"),
        description="arms beside `feedback`, the loop itself; see docs/evaluation.md",
    )
    methods: Runtime[tuple[BaselineName | GeneratorsName, ...]] = Field(
        ("sd_inpainting",),
        description="rows of Table 1 beside the arms: baselines (method= of jobs/evaluate.py), or generators",
    )
    beside: Result[Literal["base", "loop"]] = Field(
        "base", description="model that generators stand beside: diffusion.base, or the loop's last one of each seed"
    )
    splits: Runtime[tuple[str, ...]] = Field(
        ("test", "test_unseen"), min_length=1, description="splits that are painted"
    )
    metrics: Runtime[tuple[str, ...]] = Field(
        ("fid", "kid", "clip_c_i", "clip_c_b"), min_length=1, description="metrics of the tables (methods= of evaluate)"
    )
    placebo: Result[str] = Field(
        "a watermark, human hands, a second product",
        min_length=1,
        description="feedback of the arm `placebo`: flaws that the data does not have",
    )
    truth: Content[str | None] = Field(
        None, description="file of id and score, 1..5, that people gave: selects in the arm `truth`"
    )
    best_of: Result[int] = Field(4, ge=2, description="self_training: pictures of each product, the best is kept")
    painting_share: Result[float] = Field(
        0.5, gt=0, lt=1, description="self_training: share of the other arms' compute that painting takes"
    )
    sd_inpainting: Content[str | None] = Field(
        None, description="model folder of sd_inpainting, controlnet and ip_adapter (none: diffusion.base)"
    )
    powerpaint: Content[str | None] = Field(None, description="model folder of powerpaint")
    lama: Content[str | None] = Field(None, description="ONNX file of lama")
    products: Runtime[int] = Field(8, ge=1, description="products of Figure 6")
    sensitivity: Runtime[bool] = Field(
        True, description="also the table of choices that the paper leaves open: fill, guidance, pasting back"
    )

    once: Runtime[tuple[ArmName | BaselineName | GeneratorsName | Literal["sensitivity"], ...]] = Field(
        (), description="what has the first seed alone: arms, methods, or `sensitivity`"
    )

    def runs(self, name: str, seed: int) -> bool:
        """Whether an arm, a method or `sensitivity` has a seed."""
        return name not in self.once or seed == self.seeds[0]

    @field_validator("once")
    @classmethod
    def _not_the_loop(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if REFERENCE in values:
            raise ValueError(f"{REFERENCE} is what all others are compared with; it has all seeds")
        return values

    @field_validator("seeds", "arms", "methods", "splits", "metrics", "once")
    @classmethod
    def _each_once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        twice = [value for place, value in enumerate(values) if value in values[:place]]
        if twice:
            raise ValueError(f"{twice[0]} is there twice")
        return values
