"""The inputs of a run that lie outside its folder, by the names that the step table gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from p2i_ray.config import Config, JudgeConfig
from p2i_ray.judge.requests.prompts import BUILT_IN, PLACEHOLDERS
from p2i_ray.run.inputs import RunInput
from p2i_ray.storage import locations


def inputs_of(config: Config, data: str) -> list[RunInput]:
    """Inputs of a run's steps besides each other's output.

    Args:
        config: the run's settings.
        data: location of the EPBD folder.
    """
    found = [
        RunInput("data/dev", locations.join(data, config.idr.dev_split)),
        RunInput("data/train", locations.join(data, "train")),
        RunInput("diffusion.base", locations.absolute(config.diffusion.base)),
        RunInput("diffusion.clip", locations.absolute(config.diffusion.clip)),
        RunInput("evaluate.clip", locations.absolute(config.evaluate.clip)),
        _inception(config),
    ]
    if config.idr.given_scores:
        found.append(_perhaps("idr.given_scores", config.idr.given_scores))
    return [*found, *_of_judge(config)] if config.idr.judged else found


def _of_judge(config: Config) -> Iterator[RunInput]:
    judge = config.judge
    yield from _asked(judge)
    if config.held_out_judge:
        yield from _asked(config.held_out_judge)
    yield _perhaps("judge.exemplars", judge.exemplars)
    yield _perhaps("judge.cascade.clip", judge.cascade.clip)
    yield _perhaps("calibration.gold", config.calibration.gold)


def _asked(judge: JudgeConfig) -> Iterator[RunInput]:
    """A judge's model, a folder or a name that an endpoint or the hub knows, and its prompts."""
    name = f"{judge.group}.model"
    if judge.hosted.url or not Path(judge.model).expanduser().is_dir():
        yield RunInput(name, text=judge.model)
    else:
        yield RunInput(name, locations.absolute(judge.model))
    prompts = locations.absolute(judge.prompts or str(BUILT_IN))
    for prompt in PLACEHOLDERS:
        yield RunInput(f"{judge.group}.prompts/{prompt}", locations.join(prompts, f"{prompt}.yaml"))


def _inception(config: Config) -> RunInput:
    from p2i_ray.evaluate.inception import weights

    inception = config.evaluate.fid_features == "inception"
    return _perhaps("evaluate.fid_features", str(weights()) if inception else None)


def _perhaps(name: str, location: str | None) -> RunInput:
    return RunInput(name, locations.absolute(location) if location else None)
