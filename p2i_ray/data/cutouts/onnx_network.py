"""A cutter whose network is an ONNX file (ISNet, U2-Net, BiRefNet, RMBG and the like), run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data.cutouts import networks
from p2i_ray.data.cutouts.cutter import Cut
from p2i_ray.data.cutouts.networks import Plane
from p2i_ray.data.cutouts.settings import CutterConfig, Input
from p2i_ray.data.errors import ImageError
from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
SLACK = 0.01  # by which rounding may carry a probability beyond 0 and 1
QUIET = 3  # onnxruntime's log level: errors alone


def check(settings: CutterConfig) -> None:
    """Check that the file is a network which takes photos of the side that is set, and the device.

    Raises:
        UserError: one line that says what is wrong with it.
    """
    _session(settings, providers=[CPU], optimise=False)
    if settings.num_gpus:
        _check_cuda()


class OnnxCutter:
    """Cut photos by an ONNX network, as many at once as its input allows."""

    kind = "onnx"

    def __init__(self, settings: CutterConfig) -> None:
        self._settings = settings
        self._input: Input = settings.input()
        if settings.num_gpus:
            _check_cuda()
        self._session = _session(settings, [CUDA, CPU] if settings.num_gpus else [CPU], optimise=True)
        if settings.num_gpus and self._session.get_providers()[0] != CUDA:  # onnxruntime goes on with the CPU
            raise UserError(
                f"ingest.cutter.num_gpus={settings.num_gpus:g}, but onnxruntime could not start CUDA; its log says why "
                "(often a CUDA or cuDNN of another version); num_gpus=0 computes on the CPU"
            )
        taken = self._session.get_inputs()[0]
        self._name, self._dtype = taken.name, DTYPES[taken.type]
        self._at_once = taken.shape[0] if isinstance(taken.shape[0], int) else settings.batch_size

    def cut(self, photos: Sequence[Pixels]) -> list[Cut | ImageError]:
        """See Cutter."""
        return networks.cut(photos, self._planes, twice=self._settings.second_cut)

    def _planes(self, photos: Sequence[Pixels]) -> list[Plane]:
        planes: list[Plane] = []
        side = self._input.side
        for start in range(0, len(photos), self._at_once):
            batch = np.stack(
                [
                    networks.prepared(photo, (side, side), self._input.mean, std=self._input.std)
                    for photo in photos[start : start + self._at_once]
                ]
            )
            missing = self._at_once - len(batch)
            if missing and isinstance(self._session.get_inputs()[0].shape[0], int):  # a fixed batch is filled up
                batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            answer = self._session.run(None, {self._name: batch.astype(self._dtype)})[0]
            planes += list(self._probabilities(np.asarray(answer))[: len(photos) - start])
        return planes

    def _probabilities(self, answer: NDArray[Any]) -> NDArray[np.float32]:
        """The network's first output, (N, 1, h, w) or (N, h, w), as (N, h, w), 0..1."""
        if answer.ndim == 4 and answer.shape[1] == 1:
            answer = answer[:, 0]
        if answer.ndim != 3:
            raise UserError(
                f"{_named(self._settings)}: its first output has the shape {answer.shape}, not (N, 1, h, w)"
            )
        values = answer.astype(np.float32)
        if np.isnan(values).all():  # of each photo, for which it is set aside
            return values
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        inside = low >= -SLACK and high <= 1 + SLACK
        if self._input.output == "probabilities":
            if not inside:
                raise UserError(
                    f"{_named(self._settings)} answers {low:.2f} to {high:.2f}, no probabilities from 0 to 1; set "
                    "ingest.cutter.output=logits"
                )
            return values
        if inside and high > low:
            raise UserError(
                f"{_named(self._settings)} answers {low:.2f} to {high:.2f}, which are probabilities; set "
                "ingest.cutter.output=probabilities"
            )
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def _session(settings: CutterConfig, providers: list[str], optimise: bool) -> onnxruntime.InferenceSession:
    """Open the file, and check that it takes (N, 3, side, side)."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError("ingest.cutter.kind=onnx needs onnxruntime on every node: pip install onnxruntime") from None
    assert settings.model
    found = locations.kind(settings.model)
    if found != "file":
        what = "is a folder; name its .onnx file" if found else "is not there; name an ONNX file that all nodes reach"
        raise UserError(f"{_named(settings)} {what}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = 1  # as many tasks as cores cut at once already
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    local = not locations.is_uri(settings.model)  # weights in files beside it are found by its path
    source = locations.local_path(settings.model) if local else locations.read_bytes(settings.model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime's own classes have no common base but this one
        raise UserError(f"{_named(settings)} can't be opened as an ONNX network: {one_line(error)}") from None
    _check_input(session.get_inputs(), settings)
    _check_output(session.get_outputs()[0], settings)
    return session


def _check_input(inputs: Sequence[Any], settings: CutterConfig) -> None:
    side = settings.input().side
    shapes = ", ".join(f"{one.name} {one.type} {list(one.shape)}" for one in inputs)
    if len(inputs) != 1 or inputs[0].type not in DTYPES or len(inputs[0].shape) != 4:
        raise UserError(f"{_named(settings)} must take one batch of photos (N, 3, h, w) as floats; it takes {shapes}")
    for wanted, size in zip((3, side, side), inputs[0].shape[1:], strict=True):
        if isinstance(size, int) and size != wanted:
            fix = (
                "it must take RGB" if wanted == 3 else f"set another ingest.cutter.family, or ingest.cutter.side={size}"
            )
            raise UserError(f"{_named(settings)} takes {shapes}, not (N, 3, {side}, {side}); {fix}")


def _check_output(output: Any, settings: CutterConfig) -> None:
    """Check what the file says of its first output, if it does; what it answers is looked at, too."""
    shape = output.shape
    if shape and (len(shape) not in (3, 4) or (len(shape) == 4 and isinstance(shape[1], int) and shape[1] != 1)):
        raise UserError(f"{_named(settings)}: its first output has the shape {tuple(shape)}, not (N, 1, h, w)")


def _check_cuda() -> None:
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise UserError(
            "ingest.cutter.num_gpus reserves a GPU, but this onnxruntime has no CUDA: install onnxruntime-gpu in its "
            "place on every node, or set num_gpus=0, which computes on the CPU"
        )


def _named(settings: CutterConfig) -> str:
    return f"ingest.cutter.model={settings.model}"
