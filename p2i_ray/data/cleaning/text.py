"""Where text is in a picture: RapidOCR's detector, whose weights come with its wheel."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from p2i_ray.data.images import Pixels


class TextCover:
    """A text detector of this process."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self._detector = RapidOCR(
            params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads}
        )

    def __call__(self, picture: Pixels) -> Pixels:
        """Where text is, (H, W), 255 or 0, in a picture (H, W, 3)."""
        import cv2

        found: Any = self._detector(picture[..., ::-1].copy(), use_det=True, use_cls=False, use_rec=False)  # BGR
        cover = np.zeros(picture.shape[:2], np.uint8)
        if found.boxes is not None:
            cv2.fillPoly(cover, [np.asarray(box).round().astype(np.int32) for box in found.boxes], (255,))
        return cover
