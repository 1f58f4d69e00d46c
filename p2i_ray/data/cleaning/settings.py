"""Settings of the rules that clean the data; all are off unless they are asked for."""

from __future__ import annotations

from pydantic import Field

from p2i_ray.config import Settings

# The kind of reason of each rule, and the setting that switches it on.
RULES = {
    "too small": "min_side",
    "too plain": "min_variation",
    "text in the background": "max_text",
    "people in the background": "max_people",
    "unattractive": "min_attractiveness",
    "near-duplicate": "near_duplicates",
}


class CleaningConfig(Settings):
    """Rules by which photos are set aside; what came without a scene is judged by its size alone."""

    min_side: int = Field(0, ge=0, description="shortest side of a photo, pixels; smaller ones are set aside")
    min_variation: float = Field(
        0,
        ge=0,
        lt=128,
        description="least standard deviation of the background's brightness, levels of 255; 5 sets plain walls aside",
    )
    max_text: float | None = Field(
        None,
        ge=0,
        le=1,
        description="largest part of the background that text covers: 0.01, say (none: not looked for)",
    )
    max_people: float | None = Field(
        None, ge=0, le=1, description="largest part of the background that people cover (none: not looked for)"
    )
    people_model: str | None = Field(
        None, description="transformers folder of an object detector that knows the class person; for max_people"
    )
    min_attractiveness: int | None = Field(
        None,
        ge=2,
        le=5,
        description="lowest score of a scene that is kept, when the judge says how attractive it is, 1 to 5: 3, say "
        "(none: it is not asked)",
    )
    attractiveness_prompt: str | None = Field(
        None, description="YAML file with the judge's prompt for min_attractiveness (none: built in)"
    )
    near_duplicates: bool = Field(False, description="of pictures that look alike keep the first id's alone")

    @property
    def detectors(self) -> int:
        """The number of networks that look at each scene."""
        return (self.max_text is not None) + (self.max_people is not None)
