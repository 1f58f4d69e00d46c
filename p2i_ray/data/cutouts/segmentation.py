"""A cutter whose network is a segmentation checkpoint of transformers, from a folder; no code of others is run.

Two kinds are understood: those that give a score for each class and pixel (SegFormer, BEiT, DPT, UperNet, MobileViT …),
and those that give masks with a class for each (Mask2Former, MaskFormer, DETR).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING

from p2i_ray.data.cutouts import networks
from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.networks import Plane
from p2i_ray.data.cutouts.settings import CutterConfig, Levels
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import folders, locations

MASK_MODELS = ("mask2former", "maskformer", "detr")
BACKGROUND = ("background", "bg", "_background_")  # names of what is no product
SHOWN = 20  # classes that a message lists


def check(settings: CutterConfig) -> None:
    """Check that the folder holds a segmentation model that is understood, and which of its classes are product.

    Raises:
        UserError: one line that says what is wrong with it.
    """
    with _explained(settings) as folder:
        _product_classes(_config(folder, settings), settings)
        _Preprocessing(folder)


class SegmentationCutter:
    """Cut photos by a checkpoint of transformers, a batch at once."""

    kind = "transformers"

    def __init__(self, settings: CutterConfig) -> None:
        self._settings = settings
        self._device = "cuda" if settings.num_gpus else "cpu"
        with _explained(settings) as folder:
            config = _config(folder, settings)
            self._classes = _product_classes(config, settings)
            self._preprocessing = _Preprocessing(folder)
            self._by_class = type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING
            loader = AutoModelForSemanticSegmentation if self._by_class else AutoModelForUniversalSegmentation
            model, info = loader.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, in one line
            )
        # transformers would go on with random numbers in the place of these
        if lacking := sorted(info["missing_keys"]):
            raise UserError(f"{_named(settings)} lacks {len(lacking)} weights of its network, such as {lacking[0]}")
        if other := sorted(info["mismatched_keys"]):
            name, found, wanted = other[0]
            raise UserError(
                f"{_named(settings)} has {len(other)} weights of another size than its config.json says, such as "
                f"{name} ({'x'.join(map(str, found))}, not {'x'.join(map(str, wanted))}); take both from one checkpoint"
            )
        self._model = model.eval().requires_grad_(False).to(self._device)

    def cut(self, photos: Sequence[Pixels]) -> list[Cut | ImageError]:
        """See Cutter."""
        return networks.cut(photos, self._planes, twice=self._settings.second_cut)

    def _planes(self, photos: Sequence[Pixels]) -> list[Plane]:
        planes: list[Plane] = []
        for start in range(0, len(photos), self._settings.batch_size):
            batch = [self._preprocessing(photo) for photo in photos[start : start + self._settings.batch_size]]
            with torch.inference_mode():
                answer = self._model(pixel_values=torch.from_numpy(np.stack(batch)).to(self._device))
                product = self._by_pixel(answer) if self._by_class else self._by_mask(answer)
            planes += list(np.asarray(product.float().cpu().numpy(), np.float32))
        return planes

    def _by_pixel(self, answer: Any) -> torch.Tensor:
        """The probability of product, (N, h, w), from scores for each class and pixel."""
        scores = answer.logits
        if scores.shape[1] == 1:
            return torch.sigmoid(scores[:, 0])
        return torch.softmax(scores, dim=1)[:, self._classes].sum(dim=1)

    def _by_mask(self, answer: Any) -> torch.Tensor:
        """The same from masks, (N, Q, h, w), and scores of their classes, (N, Q, classes and none of them)."""
        scores = answer.logits if hasattr(answer, "pred_masks") else answer.class_queries_logits
        masks = answer.pred_masks if hasattr(answer, "pred_masks") else answer.masks_queries_logits
        product = torch.softmax(scores, dim=-1)[..., self._classes].sum(dim=-1)  # (N, Q)
        return torch.einsum("nq,nqhw->nhw", product, torch.sigmoid(masks)).clamp(max=1)


class _Preprocessing:
    """A photo as the checkpoint was trained to see it, but stretched to its size, so that nothing is cropped off."""

    def __init__(self, folder: str) -> None:
        settings = _image_processor(folder)
        size = settings["size"]
        if isinstance(size, int):
            size = {"height": size, "width": size}
        side = size.get("shortest_edge") or size.get("longest_edge")
        self._size: tuple[int, int] = (int(size.get("height") or side), int(size.get("width") or side))
        self._flipped = bool(settings.get("do_flip_channel_order"))
        scaled = 255 * float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 255.0
        normalised = settings.get("do_normalize", "image_mean" in settings)
        mean = _levels(settings["image_mean"]) if normalised else (0.0, 0.0, 0.0)
        std = _levels(settings["image_std"]) if normalised else (1.0, 1.0, 1.0)
        # (level * scaled - mean) / std, for levels from 0 to 1
        self._mean, self._std = tuple(m / scaled for m in mean), tuple(s / scaled for s in std)

    def __call__(self, photo: Pixels) -> np.ndarray[Any, np.dtype[np.float32]]:
        seen = photo[..., ::-1] if self._flipped else photo
        return networks.prepared(np.ascontiguousarray(seen), self._size, _levels(self._mean), std=_levels(self._std))


def _image_processor(folder: str) -> dict[str, Any]:
    """The settings of a folder's image processor; what they leave out is as its class in transformers has it."""
    given, _ = ImageProcessingMixin.get_image_processor_dict(folder, local_files_only=True)
    if "size" in given and {"do_normalize", "image_mean"} & given.keys():
        return dict(given)
    load: Any = AutoImageProcessor.from_pretrained
    try:
        own = load(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError):  # a class that transformers doesn't know
        return dict(given)
    return {**own.to_dict(), "do_normalize": bool(own.do_normalize), **given}


def _levels(values: Any) -> Levels:
    red, green, blue = (float(value) for value in (values if isinstance(values, (list, tuple)) else [values] * 3))
    return red, green, blue


def _config(folder: str, settings: CutterConfig) -> Any:
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING and config.model_type not in MASK_MODELS:
        raise UserError(
            f"{_named(settings)} is a {config.model_type}, which is none of the segmentation models that are "
            f"understood: those of AutoModelForSemanticSegmentation, {', '.join(MASK_MODELS)}"
        )
    return config


def _product_classes(config: Any, settings: CutterConfig) -> list[int]:
    """The numbers of the classes that are product."""
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if not settings.labels:
        if len(names) <= 2 and type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
            others = [number for number, name in names.items() if name.lower() not in BACKGROUND]
            return others if len(others) == 1 else [len(names) - 1]
        listed = ", ".join([*list(names.values())[:SHOWN], *(["…"] if len(names) > SHOWN else [])])
        raise UserError(f"{_named(settings)} knows {len(names)} classes; say which are product: labels=[…] ({listed})")
    unknown = [label for label in settings.labels if label not in names.values()]
    if unknown:
        listed = ", ".join([*list(names.values())[:SHOWN], *(["…"] if len(names) > SHOWN else [])])
        raise UserError(f"{_named(settings)} has no class {', '.join(unknown)} (ingest.cutter.labels); it has {listed}")
    return sorted(number for number, name in names.items() if name in settings.labels)


@contextmanager
def _explained(settings: CutterConfig) -> Iterator[str]:
    """The checkpoint's folder on this machine; what goes wrong with it becomes one line."""
    assert settings.model
    if locations.kind(settings.model) != "directory":
        raise UserError(f"{_named(settings)} is no folder; name one with config.json and model.safetensors")
    with folders.local_folder(settings.model) as local:
        try:
            yield locations.local_path(local)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            if isinstance(error, UserError):
                raise
            if "trust_remote_code" in str(error) or "custom code" in str(error):
                raise UserError(
                    f"{_named(settings)} brings its own code, which is never run; use its ONNX file with "
                    "ingest.cutter.kind=onnx"
                ) from None
            raise UserError(f"{_named(settings)} can't be used as a segmentation model: {one_line(error)}") from error


def _named(settings: CutterConfig) -> str:
    return f"ingest.cutter.model={settings.model}"
