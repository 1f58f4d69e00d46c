"""Choose a cutter by the settings, check its network on the driver, and load it where photos are cut."""

from __future__ import annotations

from p2i_ray.data.cutouts import grabcut
from p2i_ray.data.cutouts.cutter import Cutter
from p2i_ray.data.cutouts.settings import CutoutConfig, CutterConfig
from p2i_ray.storage import locations


def anywhere(settings: CutterConfig) -> CutterConfig:
    """The same with its path made absolute: workers have other working directories."""
    return settings.model_copy(update={"model": locations.absolute(settings.model)}) if settings.model else settings


def check(settings: CutterConfig) -> None:
    """Check, on the driver and before anything expensive, that the network is there and of a form that can be used.

    Raises:
        UserError: one line that says what is wrong with it.
    """
    if settings.kind == "onnx":
        from p2i_ray.data.cutouts import onnx_network

        onnx_network.check(settings)
    elif settings.kind == "transformers":
        from p2i_ray.data.cutouts import segmentation

        segmentation.check(settings)


def load(settings: CutterConfig, cutouts: CutoutConfig) -> Cutter:
    """Load the cutter in the process that cuts.

    Raises:
        UserError: its network can't be loaded.
    """
    if settings.kind == "onnx":
        from p2i_ray.data.cutouts.onnx_network import OnnxCutter

        return OnnxCutter(settings)
    if settings.kind == "transformers":
        from p2i_ray.data.cutouts.segmentation import SegmentationCutter

        return SegmentationCutter(settings)
    return grabcut.GrabCutter(cutouts)
