"""Check before the first engine starts that judge.max_model_len holds every request, and say what helps if not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm import chat_template
from p2i_ray.judge.engines.vllm import processor as processing
from p2i_ray.judge.engines.vllm.pictures import declared
from p2i_ray.judge.engines.vllm.token_bounds import TokenBounds
from p2i_ray.judge.request_lengths import CHOSEN, GIVEN, Asked, Length, Measure

FRACTIONS = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)  # of the pictures' area now, tried as judge.max_pixels
NAME_CHARS = (200, 150, 100, 60, 40)  # tried as judge.max_name_chars


def check(settings: JudgeConfig, image: ImageConfig, asked: Asked) -> None:
    """Compare the longest requests with judge.max_model_len.

    Nothing is checked of a hosted judge, nor of an id on the hub, whose files are not here.

    Args:
        settings: the judge's.
        image: size of pictures.
        asked: what is going to be asked.

    Raises:
        UserError: a request doesn't fit, the line says which settings make it fit; or the chat template or the picture
            processor can't be used.
    """
    if settings.hosted.url or not Path(settings.model).expanduser().is_dir():
        return
    settings = settings.model_copy(update={"model": model_folder.check(settings.model)})
    if _surely_fit(settings, image, asked):
        return
    try:
        processor = processing.load(settings.model)
        chat_template.check(settings.model, processor)
        if found := complaint(settings, image, asked, processor):
            raise UserError(found)
    except processing.CountError as error:
        logging.getLogger(__name__).warning("whether requests fit judge.max_model_len is not known: %s", error)


def _surely_fit(settings: JudgeConfig, image: ImageConfig, asked: Asked) -> bool:
    """Whether bounds tell already that all requests fit; then nothing that is slow to import is needed."""
    try:
        bounds = Measure(settings, image, TokenBounds(settings, image.resolution)).lengths(asked)
    except processing.CountError:
        return False
    return all(length.tokens <= settings.max_model_len for length in bounds)


def complaint(settings: JudgeConfig, image: ImageConfig, asked: Asked, processor: Any) -> str | None:
    """The line on a request that is too long, its tokens' use, and settings that help; none: every request fits.

    Args:
        settings: the judge's; the model is a folder.
        image: size of pictures.
        asked: what is going to be asked.
        processor: the model's.

    Raises:
        CountError: transformers can't count tokens for this model.
    """
    counter = processing.ChatCounter(settings, image.resolution, processor)
    longest = max(Measure(settings, image, counter).lengths(asked), key=lambda length: length.tokens)
    if longest.tokens <= settings.max_model_len:
        return None
    helpful = ", or ".join(remedies(settings, image, asked, needed=longest.tokens, processor=processor))
    return (
        f"judge.max_model_len={settings.max_model_len} is too short for a {longest.kind}, which takes up to "
        f"{described(longest)}; {helpful or 'take a model with a longer context'}"
    )


def described(length: Length, label: bool = False) -> str:
    """The use of a request's tokens; `label`: after what is asked."""
    parts = [f"{length.text_tokens:,} for texts", f"{length.reply_tokens:,} for the reply"]
    if length.name_tokens:
        parts.insert(1, f"{length.name_tokens:,} for the longest name")
    if length.pictures:
        shown = f"{length.pictures} picture{'s' * (length.pictures > 1)}"
        shown += f" ({length.exemplars} of {length.from_setting})" if length.exemplars else ""
        parts.insert(0, f"{length.picture_tokens:,} for {shown}")
    return f"{f'{length.kind}: ' * label}{length.tokens:,} tokens: {', '.join(parts)}"


def remedies(settings: JudgeConfig, image: ImageConfig, asked: Asked, *, needed: int, processor: Any) -> Iterator[str]:
    """Settings each of which alone makes every request fit; counted, not guessed.

    Args:
        settings: the judge's.
        image: size of pictures.
        asked: what is going to be asked.
        needed: tokens of the longest request.
        processor: the model's.
    """

    def fits(changed: Asked = asked, **changes: object) -> bool:
        other = settings.model_copy(update=changes)
        counter = processing.ChatCounter(other, image.resolution, processor)
        return all(length.tokens <= other.max_model_len for length in Measure(other, image, counter).lengths(changed))

    whole = model_folder.configuration(settings.model)
    positions = {**whole, **(whole.get("text_config") or {})}.get(
        "max_position_embeddings"
    )  # of older Qwens: the whole's
    if not positions or needed <= positions:
        yield f"raise judge.max_model_len={needed}"
    elif settings.max_model_len < positions:
        yield from _fewer_exemplars(asked, lambda fewer: fits(fewer, max_model_len=positions), positions)
    yield from _fewer_exemplars(asked, fits)
    if settings.show_cutout and fits(show_cutout=False):
        yield "set judge.show_cutout=false"
    if limits := declared(settings.model):
        now, least = min(image.resolution**2, settings.max_pixels or limits.largest), settings.min_pixels
        areas = [area for part in FRACTIONS if (area := int(now * part)) >= (least or limits.smallest)]
        if found := next((area for area in areas if fits(max_pixels=area)), None):
            yield f"set judge.max_pixels={found}"
    chars = [number for number in NAME_CHARS if number < settings.max_name_chars]
    if found := next((number for number in chars if fits(max_name_chars=number)), None):
        yield f"set judge.max_name_chars={found}"


def _fewer_exemplars(asked: Asked, fits: Callable[[Asked], bool], length: int | None = None) -> Iterator[str]:
    """The most exemplars that fit, with another judge.max_model_len where one is given.

    Those that rounds choose and those of the settings are shown by turns.
    """
    given, chosen = len(asked.exemplars), asked.chosen
    for left in range(max(given, chosen) - 1, -1, -1):
        fewer = asked._replace(exemplars=asked.exemplars[:left], chosen=min(chosen, left))
        if fits(fewer):
            keep = f"keep {left} of the {given} rows of {GIVEN}" if left else f"leave {GIVEN} out"
            changes = [keep] * (given > left) + [f"set {CHOSEN}={left}"] * (chosen > left)
            yield " and ".join([*changes, f"raise judge.max_model_len={length}"] if length else changes)
            return
