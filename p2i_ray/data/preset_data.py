"""The data that a preset makes by itself: the toy world, so that every job runs at once on a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

ROOT = Path(__file__).parents[2]  # where `python -m` finds the preset's module


def ready(config: Config, data: str) -> str:
    """The absolute location of a data folder, which is there; the preset's own data are made where they are not.

    Args:
        config: names the module that makes data, and the one folder for them.
        data: EPBD folder, a path or URI.

    Raises:
        UserError: other data are asked for, and not there; or the preset's can't be made.
    """
    data = locations.absolute(data)
    if locations.exists(data):
        return data
    if not config.prepare or not config.prepare_data or locations.absolute(config.prepare_data) != data:
        raise UserError(f"data {data} is not there; check the path, or make it from photos with jobs/ingest.py")
    print(f"making {data}", flush=True)
    making = f"{data}.making"  # what an interruption leaves is not taken for the whole
    locations.remove(making)
    command = [sys.executable, "-m", config.prepare, "--out", making]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise UserError(f"`{' '.join(command)}` failed; see above")
    Path(making).rename(data)
    return data
