"""Make a model folder with safetensors of pickled weights (*.bin), or of a pipeline in a single file.

    python jobs/convert.py in=models/old-sd-inpainting out=models/sd-inpainting
    python jobs/convert.py in=models/my-shop.safetensors config=models/sd-inpainting out=models/my-shop

Of a folder every part's *.bin becomes *.safetensors under the name that transformers and diffusers look for, and all
else that a model needs is copied: it serves Stable Diffusion, CLIP, judges and cutters alike. A single file
(.safetensors, .ckpt) is taken apart; config= names a model folder of the same architecture, from which configuration,
tokenizer and scheduler are taken, and no weights. Pickled files are read by a process of its own, tensors alone: a file
that holds anything else is refused. Pickled weights whose safetensors are there, and the safety checker, are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from p2i_ray.cluster import preflight
from p2i_ray.config.base import Settings
from p2i_ray.console.cli import main_without_preset
from p2i_ray.diffusion.model import conversion, validation
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import locations

_FIELDS: dict[str, Any] = {
    "in": (str, Field(description="model folder, a path or URI, or a single file on this machine")),
    "out": (str, Field(description="folder to write, a path or URI; must be new")),
    "config": (str | None, Field(None, description="for a single file: a model folder of the same architecture")),
}
ConvertJob: type[Settings] = create_model("ConvertJob", __base__=Settings, **_FIELDS)  # a class can't have an "in"


def run(job: Settings) -> None:
    """Convert, and say whether the result is a model that can be trained."""
    given = job.model_dump()
    out = locations.absolute(given["out"])
    config = locations.absolute(given["config"]) if given["config"] else None
    if locations.is_uri(out) or locations.exists(out):  # else the conversion makes the folder, and says if it can't
        job_output.check(out, conversion.JOB)
        preflight.check_rights(out)
    conversion.convert(named(given["in"]), out, config=config, tell=print)
    print(f"{out}: {judgement(out)}")


def named(location: str) -> str:
    """A location made absolute, links as they are: in a hub's cache only a link has the file's name."""
    if locations.is_uri(location):
        return locations.absolute(location)
    return str(Path(locations.local_path(location)).expanduser().absolute())


def judgement(out: str) -> str:
    """The uses of the folder, in words."""
    if not locations.exists(locations.join(out, "unet")):
        return "converted"
    try:
        validation.check_model(out, widen=True)
    except UserError as error:
        return f"converted, but no model to train or paint with: {error}"
    return "a model to train and paint with" + (", with diffusion.widen=true" if validation.is_plain(out) else "")


if __name__ == "__main__":
    main_without_preset(ConvertJob, __doc__, run)
