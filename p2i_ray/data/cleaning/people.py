"""Find people in a picture, by a transformers object detector that was trained on COCO or the like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

PERSON = "person"
CONFIDENCE = 0.5


def check(model: str) -> None:
    """Check, on the driver and before anything is done, that the folder holds a detector of people.

    Raises:
        UserError: it isn't there, has no safetensors weights, is no object detector or doesn't know people.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as DETECTORS

    name, folder = f"ingest.cleaning.people_model={model}", Path(model)
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} has no config.json; give a transformers folder")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{name} has no *.safetensors weights; convert them: python jobs/convert.py in=… out=…")
    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {str(error).splitlines()[0]}") from None
    if config.model_type not in DETECTORS:
        raise UserError(
            f"{name} is a {config.model_type} model, no object detector; {', '.join(sorted(DETECTORS))} are"
        )
    if PERSON not in {str(label).lower() for label in config.id2label.values()}:
        raise UserError(f"{name} knows no class {PERSON!r}; give a detector trained on COCO, say")


def anywhere(model: str | None) -> str | None:
    """The folder as any worker finds it."""
    return locations.absolute(model) if model else None


class PeopleCover:
    """An object detector of this process.

    Args:
        model: transformers folder; see `check`.
        confidence: least score of a person.
    """

    def __init__(self, model: str, confidence: float = CONFIDENCE) -> None:
        import torch
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        load: Any = AutoImageProcessor.from_pretrained  # transformers leaves it untyped
        self._processor = load(model, local_files_only=True, use_fast=False)
        detector = AutoModelForObjectDetection.from_pretrained(model, local_files_only=True, use_safetensors=True)
        self._model = detector.eval()
        self._people = {int(n) for n, label in self._model.config.id2label.items() if str(label).lower() == PERSON}
        self._confidence = confidence

    def __call__(self, picture: Pixels) -> Pixels:
        """Find people: a mask (H, W), 255 or 0, of a picture (H, W, 3), and the boxes around them."""
        import torch

        height, width = picture.shape[:2]
        with torch.inference_mode():
            output = self._model(**self._processor(images=picture, return_tensors="pt"))
        (found,) = self._processor.post_process_object_detection(
            output, threshold=self._confidence, target_sizes=[(height, width)]
        )
        cover = np.zeros((height, width), np.uint8)
        for label, box in zip(found["labels"].tolist(), found["boxes"].round().int().tolist(), strict=True):
            if label in self._people:
                left, top, right, bottom = (max(0, edge) for edge in box)
                cover[top:bottom, left:right] = 255
        return cover
