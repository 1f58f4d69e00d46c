"""Fingerprints of models: the denoiser in a generator's folder, all that paints in pictures' manifests."""

from __future__ import annotations

from p2i_ray.diffusion.model import validation
from p2i_ray.encoders import weight_files
from p2i_ray.encoders.weight_files import ENDS
from p2i_ray.storage import digests, folders, locations

WEIGHTS = (".safetensors", ".onnx")


def fingerprint(location: str) -> str:
    """A SHA-256 over names, sizes and both ends of the denoiser's files; of one file, as LaMa's, over that."""
    if locations.kind(location) == "file":
        return digests.digest([location], ends=ENDS)
    folder = locations.join(location, validation.family_of(location).denoiser)
    return digests.digest(weight_files.find(folder, weight_files.DIFFUSERS).files, ends=ENDS)


def of_models(*models: str) -> str:
    """A SHA-256 over names, sizes and both ends of all weights of a model, and of the generators beside it.

    Args:
        *models: locations of their folders; of one file, as LaMa's, the file. The order counts.
    """
    files = list[str]()
    for location in models:
        if locations.kind(location) == "file":
            files.append(location)
        else:
            below = sorted(name for name in folders.files_below(location) if name.endswith(WEIGHTS))
            files += [locations.join(location, name) for name in below]
    return digests.digest(files, ends=ENDS)
