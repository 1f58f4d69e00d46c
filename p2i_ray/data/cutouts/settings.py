"""Settings of cutouts: what transparency means, which cutter finds a product, and which cutouts are too poor."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from p2i_ray.config import Settings
from p2i_ray.config.base import Reserving, Runtime

Levels = tuple[float, float, float]  # red, green, blue, of a range from 0 to 1

IMAGENET_MEAN: Levels = (0.485, 0.456, 0.406)
IMAGENET_STD: Levels = (0.229, 0.224, 0.225)


class Input(NamedTuple):
    """A network's input, and its kind of output."""

    side: int  # pixels; the photo is stretched to a square of it
    mean: Levels  # taken from each channel
    std: Levels  # each channel is divided by it
    output: Literal["probabilities", "logits"]


FAMILIES: dict[str, Input] = {
    "isnet": Input(1024, (0.5, 0.5, 0.5), (1, 1, 1), "probabilities"),
    "u2net": Input(320, IMAGENET_MEAN, IMAGENET_STD, "probabilities"),
    "birefnet": Input(1024, IMAGENET_MEAN, IMAGENET_STD, "logits"),
    "rmbg-1.4": Input(1024, (0.5, 0.5, 0.5), (1, 1, 1), "probabilities"),
    "rmbg-2.0": Input(1024, IMAGENET_MEAN, IMAGENET_STD, "probabilities"),
}


class CutoutConfig(Settings):
    """Settings of cutouts."""

    clear_pixels: Literal["filled", "photo"] = Field(
        "filled",
        description="photo: a file's clear pixels hold the scene, and alpha is its mask; filled: they hold "
        "nothing, and get the product's colours",
    )
    min_share: float = Field(0.02, gt=0, lt=1, description="smallest product, share of the finished picture")
    max_share: float = Field(0.9, gt=0, le=1, description="largest product, share of the finished picture")
    working_side: int = Field(
        384, ge=64, le=2048, description="longest side on which GrabCut cuts the product out, pixels"
    )
    min_confidence: float = Field(
        0.7, ge=0, description="least likeness of GrabCut's best mask to a product; good ones reach 1 to 2"
    )
    # What a cutter finds is set aside beyond these; what came along with a photo is only measured.
    max_border: float = Field(0.5, gt=0, le=1, description="most of the photo's border that the product touches")
    max_holes: float = Field(0.3, gt=0, le=1, description="largest holes in the product, share of its area with them")
    max_thin: float = Field(0.4, gt=0, le=1, description="most of the product in thin parts, share of its area")
    max_disagreement: float = Field(
        0.25, gt=0, le=1, description="largest difference of two cuts of a photo, share of what either calls product"
    )


class CutterConfig(Reserving):
    """The cutter, for photos that bring neither mask, nor cutout, nor clear pixels."""

    kind: Literal["grabcut", "onnx", "transformers"] = Field(
        "grabcut",
        description="grabcut: without weights, the last resort; onnx: a network by onnxruntime; "
        "transformers: a segmentation checkpoint",
    )
    model: str | None = Field(
        None, description="the network: an ONNX file, or a transformers folder; a path or URI that all nodes reach"
    )
    family: Literal["isnet", "u2net", "birefnet", "rmbg-1.4", "rmbg-2.0"] | None = Field(
        None, description="onnx: what the network's input and output are; side, mean, std and output override it"
    )
    side: int | None = Field(None, ge=4, le=4096, description="onnx: side of the network's square input, pixels")
    mean: Levels | None = Field(None, description="onnx: taken from red, green and blue, which reach from 0 to 1")
    std: Levels | None = Field(None, description="onnx: red, green and blue are divided by it then")
    output: Literal["probabilities", "logits"] | None = Field(None, description="onnx: what the network answers")
    labels: tuple[str, ...] = Field(
        (), description="transformers: the classes that are product, by the checkpoint's names (none: it has only two)"
    )
    second_cut: bool = Field(
        True, description="cut each photo again, mirrored, and compare: twice the time of a network's cut"
    )
    batch_size: Runtime[int] = Field(4, ge=1, description="photos that are opened and cut at once")
    num_gpus: Runtime[float] = Field(
        0, ge=0, description="GPUs that a task reserves for its network; 0: it computes on the CPU"
    )
    memory_gib: Runtime[float] = Field(
        3, ge=0, description="main memory that a task reserves for its network, GiB; grabcut needs none"
    )

    @model_validator(mode="after")
    def _complete(self) -> CutterConfig:
        if (self.kind == "grabcut") != (self.model is None):
            raise ValueError("model names the network of kind=onnx or kind=transformers, and grabcut has none")
        if self.kind == "grabcut" and self.num_gpus:
            raise ValueError("grabcut computes on the CPU; set num_gpus=0")
        if self.std and not all(self.std):
            raise ValueError("std must not be 0: channels are divided by it")
        if self.kind == "onnx" and not (self.family or all((self.side, self.mean, self.std, self.output))):
            raise ValueError(f"set family ({', '.join(FAMILIES)}), or all of side, mean, std and output")
        return self

    def input(self) -> Input:
        """The ONNX network's input: its family's values, or those that are set."""
        base = FAMILIES[self.family] if self.family else Input(1, (0, 0, 0), (1, 1, 1), "probabilities")
        return Input(self.side or base.side, self.mean or base.mean, self.std or base.std, self.output or base.output)
