"""LaMa (Suvorov et al., 2022): fills a masked picture in from what is around, here the product, without a text.

An ONNX file that takes a picture (N, 3, h, w) from 0 to 1 and a mask (N, 1, h, w), 1 where it fills in, and answers a
picture (N, 3, h, w), from 0 to 1 or to 255. The published one takes 512 x 512 alone: others are resized, and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import SamplerOptions, put_back
from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import locations

GREY = 127  # where nothing is known yet
PROVIDERS = {"cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"], "cpu": ["CPUExecutionProvider"]}
BYTES = 2.0  # an output beyond this is from 0 to 255


class Lama:
    """The loaded method; one picture at a time, since the network's sizes may be fixed."""

    def __init__(self, file: str, options: SamplerOptions) -> None:
        """Open the file.

        Raises:
            UserError: onnxruntime is not there, or the file is not such a network.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UserError("method=lama needs onnxruntime on every node: pip install onnxruntime") from None
        try:
            providers = PROVIDERS[options.device.partition(":")[0]]
            self._session = onnxruntime.InferenceSession(locations.read_bytes(file), providers=providers)
        except Exception as error:  # onnxruntime's own classes have no common base but this one
            raise UserError(f"model={file} can't be opened as an ONNX network: {one_line(error)}") from None
        by_channels = {one.shape[1]: one for one in self._session.get_inputs() if len(one.shape) == 4}
        if set(by_channels) != {1, 3} or len(self._session.get_inputs()) != 2:
            shapes = ", ".join(f"{one.name} {list(one.shape)}" for one in self._session.get_inputs())
            raise UserError(f"model={file} must take a picture (N, 3, h, w) and a mask (N, 1, h, w); it takes {shapes}")
        self._picture, self._mask = by_channels[3], by_channels[1]

    def paint(self, requests: Sequence[PaintRequest]) -> list[Pixels]:
        """Paint each; steps, guidance, seed and texts mean nothing here."""
        return [self._paint(request) for request in requests]

    def _paint(self, request: PaintRequest) -> Pixels:
        height, width = request.mask.shape
        unknown = request.mask < 128
        picture = np.where(unknown[..., None], np.uint8(GREY), request.product)
        size = self._size(width, height)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(unknown.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        inputs = np.asarray(small.transpose(2, 0, 1)[None] / 255, np.float32)
        answer = self._run(inputs, mask.astype(np.float32)[None, None])
        painted = cv2.resize(answer, (width, height), interpolation=cv2.INTER_CUBIC)
        levels = np.clip(painted * 255, 0, 255).round().astype(np.uint8)
        return put_back(levels, request)

    def _run(self, picture: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's picture (h, w, 3), 0 to 1."""
        inputs: dict[str, Any] = {self._picture.name: picture, self._mask.name: mask}
        answer = np.asarray(self._session.run(None, inputs)[0], np.float32)[0].transpose(1, 2, 0)
        if not np.isfinite(answer).all():
            raise FloatingPointError("LaMa answers values that are not finite")
        return np.asarray(answer / 255 if answer.max() > BYTES else answer, np.float32)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that the network takes: its own, or the picture's up to a multiple of 8."""
        fixed = self._picture.shape[3], self._picture.shape[2]
        if all(isinstance(side, int) for side in fixed):
            return int(fixed[0]), int(fixed[1])
        return -(-width // 8) * 8, -(-height // 8) * 8
