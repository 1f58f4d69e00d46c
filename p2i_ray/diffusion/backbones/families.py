"""Families of models, by the content of their folders, as far as small files tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class TextPart(NamedTuple):
    """A text encoder and its tokenizer, by the names of their folders."""

    encoder: str
    tokenizer: str
    pooled: bool = False  # whether the state at eos is used, through a projection of its own
    key: str = ""  # of its row in a file with the token's embeddings; empty: the token itself


class Family(NamedTuple):
    """One family of models.

    Attributes:
        name: as people call it.
        pipelines: as model_index.json may name them; all have the same parts.
        denoiser: the folder of the network that predicts.
        classes: of parts, as their config.json names them.
        texts: the text encoders, in the order in which the denoiser reads them.
        sized: whether the denoiser is told the picture's size.
        pipeline: diffusers' pipeline that a trained folder opens with.
        call: what is to be said when that pipeline is called, beyond prompt, image and mask.
    """

    name: str
    pipelines: tuple[str, ...]
    denoiser: str
    classes: Mapping[str, str]
    texts: tuple[TextPart, ...]
    sized: bool
    pipeline: str
    call: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that a model must have."""
        texts = [name for text in self.texts for name in (text.encoder, text.tokenizer)]
        return (self.denoiser, "vae", *texts, "scheduler")

    @property
    def encoders(self) -> tuple[str, ...]:
        """The folders of its text encoders."""
        return tuple(text.encoder for text in self.texts)

    def text_width(self, configs: Mapping[str, Mapping[str, Any]]) -> int:
        """Values a token that the denoiser reads, by the parts' settings; 0 where they say nothing."""
        return sum(configs[text.encoder].get("hidden_size") or 0 for text in self.texts)


_NETWORKS = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
STABLE_DIFFUSION = Family(
    name="Stable Diffusion 1.x or 2.x",
    pipelines=("StableDiffusionInpaintPipeline", "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    denoiser="unet",
    classes=_NETWORKS,
    texts=(TextPart("text_encoder", "tokenizer"),),
    sized=False,
    pipeline="StableDiffusionInpaintPipeline",
    call="",
)
STABLE_DIFFUSION_XL = Family(
    name="Stable Diffusion XL",
    pipelines=("StableDiffusionXLInpaintPipeline", "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    denoiser="unet",
    classes=_NETWORKS,
    texts=(
        TextPart("text_encoder", "tokenizer", key="clip_l"),
        TextPart("text_encoder_2", "tokenizer_2", pooled=True, key="clip_g"),
    ),
    sized=True,
    pipeline="StableDiffusionXLInpaintPipeline",
    call="strength=1.0",  # else the pipeline starts from a noised picture of the product on grey
)
FAMILIES = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL)
NAMES = f"{STABLE_DIFFUSION.name} or {STABLE_DIFFUSION_XL.name.removeprefix('Stable Diffusion ')}"


def named(pipeline: str) -> Family | None:
    """The family of a pipeline, by what model_index.json calls it; none: it is of no known family."""
    return next((family for family in FAMILIES if pipeline in family.pipelines), None)
