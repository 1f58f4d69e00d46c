"""Settings of the category-wise and the personality-wise generator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from p2i_ray.config.base import Adjustable, Content, Result, Settings

CATEGORY = "{category}"  # in a prompt: the category's name

UNUSED_CLIP = (
    "generators.reference_clip is used by a personality-wise generator alone; "
    "set generators.personality, or leave it out"
)

GeneratorName = Literal["product2img", "category", "personality"]


class SpoilingConfig(Settings):
    """Changes to a picture that its own background is learned from, so that pasting it back doesn't help."""

    enabled: Result[bool] = Field(True, description="false: the copy sees the very background that it is to paint")
    dilation: Result[float] = Field(
        0.05, ge=0, le=0.5, description="most that the product's mask is widened, as a fraction of the shorter side"
    )
    boxes: Result[int] = Field(3, ge=0, description="most random boxes that are added to the mask")
    box: Result[float] = Field(
        0.4, gt=0, le=1, description="longest side of a random box, as a fraction of the picture's"
    )
    shift: Result[float] = Field(
        0.1, ge=0, le=0.5, description="most that the mask is translated, as a fraction of each side"
    )
    shift_picture: Result[bool] = Field(
        False, description="translate the spoilt picture as well, so that it lies elsewhere than what is to be painted"
    )


class GeneratorsConfig(Settings):
    """The copies of the denoiser's encoder that paint by category or by a reference picture."""

    category: Content[str | None] = Field(None, description="folder of a category-wise generator")
    personality: Content[str | None] = Field(None, description="folder of a personality-wise generator")
    category_scale: Result[float] = Field(1.0, ge=0, description="weight of the category-wise generator's outputs")
    personality_scale: Result[float] = Field(
        1.0, ge=0, description="weight of the personality-wise generator's outputs"
    )
    base: Result[Literal["inpainting", "text_to_image"]] = Field(
        "inpainting",
        description="what the copy stands beside: an inpainting model, or a plain one as it is (the paper)",
    )
    base_prompt: Result[Literal["category", "product2img"]] = Field(
        "category",
        description="what the base itself reads: the generators' prompt (the paper), or the product's name and "
        "<background>",
    )
    other_base: Result[bool] = Field(
        False, description="put up with a base of the same shape that the copy was not made from"
    )
    unknown_category: Result[Literal["nearest", "error"]] = Field(
        "nearest",
        description="a category that was not trained: the identifier of the one with the nearest name, or an error",
    )
    product_prompt: Result[str] = Field(
        f"a photo of {CATEGORY}", description="P_fg, what the copy reads where the product is (paper: this one)"
    )
    background_prompt: Result[str] = Field(
        "in the background of", description="P_bg, before the category's identifier (paper: this one)"
    )
    categories: Content[str | None] = Field(
        None,
        description="CSV file of category and parent, all that are to be trained (none: those of the rows, no parents)",
    )
    lr_copy: Adjustable[float] = Field(1e-5, gt=0, description="learning rate of a copy, AdamW")
    lr_identifiers: Adjustable[float] = Field(1e-3, gt=0, description="learning rate of the identifiers, AdamW")
    tokens: Result[int] = Field(4, ge=1, description="learned tokens of a category's identifier")
    token_from: Result[str] = Field("background", description="word whose embedding identifiers start from")
    plain: Result[bool] = Field(
        False,
        description="train an ordinary ControlNet instead of the category-wise generator, to compare with: it reads "
        "P_fg alone, without masks and identifiers",
    )
    rare_below: Result[int] = Field(0, ge=0, description="training rows below which a category is rare; 0: none is")
    rare_weight: Result[float] = Field(
        0.1, ge=0, description="weight of the loss that pulls a rare category's identifier to its parent's mean"
    )
    masked: Result[Literal["attention", "all"]] = Field(
        "attention",
        description="what of the personality-wise copy leaves out the product: its cross-attention (the paper), or "
        "also all that it adds to the base",
    )
    reference_clip: Content[str | None] = Field(
        None,
        description="folder of a CLIP; the personality-wise copy is told of a reference by four tokens of its "
        "embedding, as IP-Adapter tells it, to compare with (none: it sees the picture)",
    )
    spoiling: SpoilingConfig = Field(default_factory=SpoilingConfig)

    @property
    def folders(self) -> dict[str, str]:
        """The folders of what stands beside the model, by the settings that name them."""
        named = {"category": self.category, "personality": self.personality, "reference_clip": self.reference_clip}
        return {name: folder for name, folder in named.items() if folder is not None}

    def keeps_base_plain(self, generator: GeneratorName) -> bool:
        """Whether a generator is trained beside a plain text-to-image model, which stays as it is."""
        return generator != "product2img" and self.base == "text_to_image"

    @field_validator("product_prompt")
    @classmethod
    def _has_one_category(cls, prompt: str) -> str:
        if prompt.count(CATEGORY) != 1:
            raise ValueError("it must have {category}, once")
        return prompt
