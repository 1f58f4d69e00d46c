"""What a model is recognised by: in a generator's folder, and in the manifests of pictures."""

from __future__ import annotations

from p2i_ray.diffusion.model import validation
from p2i_ray.encoders import weight_files
from p2i_ray.storage import locations

ENDS = 1 << 20  # bytes at both ends of a file


def fingerprint(location: str) -> str:
    """A SHA-256 over names, sizes and both ends of the denoiser's files; of one file, as LaMa's, over that."""
    if locations.kind(location) == "file":
        return locations.digest([location], ends=ENDS)
    folder = locations.join(location, validation.family_of(location).denoiser)
    return locations.digest(weight_files.find(folder, weight_files.DIFFUSERS).files, ends=ENDS)
