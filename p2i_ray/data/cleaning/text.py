"""Find text in a picture: RapidOCR, whose weights come with its wheel, finds and reads it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from p2i_ray.data.images import Pixels

CONFIDENCE = 0.8  # of what is read
CHARACTERS = 3  # letters and digits of a text


class TextCover:
    """A reader of text in this process."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self._reader = RapidOCR(
            params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads}
        )

    def __call__(self, picture: Pixels) -> Pixels:
        """Find text: a mask (H, W), 255 or 0, of a picture (H, W, 3)."""
        import cv2

        found: Any = self._reader(picture[..., ::-1].copy(), use_cls=False)  # BGR
        cover = np.zeros(picture.shape[:2], np.uint8)
        read = zip(found.boxes, found.txts, found.scores, strict=True) if found.boxes is not None else ()
        boxes = [np.asarray(box).round().astype(np.int32) for box, text, score in read if _is_text(text, score)]
        cv2.fillPoly(cover, boxes, (255,))
        return cover


def _is_text(text: str, score: float) -> bool:
    """Whether what was read is text: the detector alone takes a saucer for an 8, and a plain picture for a line."""
    return score >= CONFIDENCE and sum(map(str.isalnum, text)) >= CHARACTERS
