"""Fetch the models that a preset names from the Hugging Face hub, into the folders that its settings name.

    python jobs/models.py --config gpu24gb
    python jobs/models.py --config my.yaml hub.judge_model=Qwen/Qwen2.5-VL-7B-Instruct@COMMIT

Only configuration, tokenizer and safetensors weights are fetched, and compared with the hub's checksums. The commit is
kept in the folder, so that the same command fetches the same again; an interrupted one goes on where it was. No other
job fetches anything. HF_TOKEN is for models that ask for one, HF_ENDPOINT for a mirror of the hub.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.diffusion.model import validation
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.judge.engines import model_folder
from p2i_ray.storage import hub, locations


class Wanted(NamedTuple):
    """A folder to be filled, and where from."""

    setting: str
    folder: str
    source: hub.Source


def wanted(config: Config) -> list[Wanted]:
    """The folders that the settings name with a repository, each once.

    Raises:
        UserError: there are none, a folder is in a bucket, or two settings fill one folder from two repositories.
    """
    found: dict[str, Wanted] = {}
    for setting, folder, text in _named(config):
        if locations.is_uri(folder):
            raise UserError(
                f"{setting}={folder} is in a bucket; fetch into a folder on this machine, and copy it there"
            )
        one = Wanted(setting, locations.absolute(folder), hub.Source.parse(text))
        other = found.setdefault(one.folder, one)
        if other.source != one.source:
            raise UserError(
                f"{other.setting} and {setting} name one folder, {folder}, and hub.* two repositories for it"
            )
    if not found:
        raise UserError("the preset names no repositories; give them as hub.judge_model=OWNER/NAME and so on")
    return [*found.values()]


def _named(config: Config) -> Iterator[tuple[str, str, str]]:
    """The settings with a repository: their names, folders and repositories."""
    groups = {
        "judge.model": (config.judge.model, config.hub.judge_model),
        "diffusion.base": (config.diffusion.base, config.hub.diffusion_base),
        "diffusion.clip": (config.diffusion.clip, config.hub.diffusion_clip),
        "evaluate.clip": (config.evaluate.clip, config.hub.evaluate_clip),
    }
    yield from ((setting, folder, text) for setting, (folder, text) in groups.items() if text)


def run(config: Config) -> None:
    """Fetch what is missing, all of it known before the first byte; what can't be had doesn't keep the rest back."""
    listings: list[tuple[Wanted, hub.Listing]] = []
    failed: list[str] = []
    for one in wanted(config):
        try:
            listings.append((one, hub.listing(one.source, Path(one.folder))))
        except UserError as error:
            failed.append(f"{one.setting}={one.folder}: {error}")
            print(f"warning: {failed[-1]}", file=sys.stderr)
    for one, found in listings:
        size, missing = sum(found.sizes.values()), found.missing_bytes(Path(one.folder))
        print(f"{one.setting}={one.folder}: {found.source.repository}@{found.source.revision}")
        print(f"  {len(found.sizes)} files, {size / 1e9:.2f} GB, {missing / 1e9:.2f} GB to fetch")
    for one, found in listings:
        hub.fetch(found, Path(one.folder))
        check(one)
        print(f"{one.setting}={one.folder}: complete")
    if failed:
        raise UserError(f"{len(failed)} of {len(failed) + len(listings)} folders are not filled: {'; '.join(failed)}")


def check(one: Wanted) -> None:
    """Check that a fetched folder is one that its setting takes.

    Raises:
        UserError: it isn't.
    """
    if one.setting == "judge.model":
        model_folder.check(one.folder)
    elif one.setting == "diffusion.base":
        validation.check_model(one.folder, widen=True)
    else:
        kind = validation.read_config(locations.join(one.folder, "config.json")).get("model_type")
        if kind != "clip":
            raise UserError(f"{one.setting}={one.folder} holds a {kind}, no CLIP; name a CLIP's repository")
        weight_files.find(one.folder, weight_files.TRANSFORMERS, setting=one.setting).tensors()


if __name__ == "__main__":
    main(Config, __doc__, run)
