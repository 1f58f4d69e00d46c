"""The held-out judge: another model than the judge's, which never selects.

A model that is trained on what a judge selects may learn to please that judge. What the held-out judge says of the same
pictures shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from p2i_ray.config import Config, HeldOutJudgeConfig, JudgeConfig, SecondJudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge import length_check
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.request_lengths import Asked
from p2i_ray.judge.requests import flaws
from p2i_ray.judge.requests.prompts import load_prompts

OWN = re.compile(rf"(?<!evaluate\.)\bjudge\.(?={'|'.join(HeldOutJudgeConfig.model_fields)}\b)")


def make(
    config: Config, cache: str | None = None, starting: Callable[[], AbstractContextManager[object]] = nullcontext
) -> Judge | None:
    """The held-out judge of evaluate.judge; none: there is none. Its engines start when it is asked.

    Args:
        config: the settings.
        cache: as of Judge.
        starting: as of Judge.
    """
    settings = config.held_out_judge
    if settings is None:
        return None
    with named():
        return Judge(settings, config.image, config.seed, cache=cache, starting=starting)


def check(config: Config, asked: Asked) -> None:
    """Check that the held-out judge, if there is one, is another model than the judge's and can be asked.

    Args:
        config: the settings.
        asked: what it is going to be asked.

    Raises:
        UserError: it is the same model, or what it is asked is too long for it, or its files can't be used.
    """
    settings = config.held_out_judge
    if settings is None:
        return
    if _same(config.judge, settings):
        raise UserError(
            f"evaluate.judge.model={settings.model} is the same model as judge.model={config.judge.model}, which "
            "selects; a held-out judge must be another model: name one, or leave evaluate.judge.model out"
        )
    with named():
        prompts = load_prompts(settings.prompts, settings.reasoned, settings.show_cutout)
        flaws.check(prompts.critique, settings.flaws)
        if not settings.hosted.url:
            model_folder.check(settings.model)
            length_check.check(settings, config.image, asked)


def errors_of(judge: Judge) -> AbstractContextManager[object]:
    """A context in which the errors of a judge name its own settings."""
    return named() if judge.settings.group == SecondJudgeConfig.group else nullcontext()


@contextmanager
def named() -> Iterator[None]:
    """Have errors name the settings of evaluate.judge where they name the judge's of the same name."""
    try:
        yield
    except UserError as error:
        raise UserError(f"the held-out judge: {OWN.sub('evaluate.judge.', str(error))}") from error


def _same(judge: JudgeConfig, other: JudgeConfig) -> bool:
    if judge.hosted.url or other.hosted.url:
        return (judge.hosted.url, judge.model) == (other.hosted.url, other.model)
    places = [str(Path(one.model).expanduser()) for one in (judge, other)]
    return model_folder.same_weights(*places)
