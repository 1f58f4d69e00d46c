"""The guidance of the model that paints, for the judge that ranks its images; read again when the model has changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from p2i_ray.config import ImageConfig
from p2i_ray.judge import guidance
from p2i_ray.judge.guidance import Guidance
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.serve.sampler.reload import fingerprint

LOGGER = logging.getLogger("ray.serve")


class Sharpened(NamedTuple):
    """The guidance that the judge is told before it scores."""

    guidance: Guidance
    exemplars: tuple[Exemplar, ...]


class ModelGuidance:
    """The guidance in a model's folder. Its method blocks; call it from one thread at a time.

    As with the model, a change counts when two checks in a row have seen the same files, and what can't be used leaves
    the last one in place.

    Args:
        model: location of the model folder.
        limits: of the exemplars' pictures.
        max_name_chars: names are cut after this many characters.
        interval_s: of checking the folder, seconds.
        clock: monotonic seconds.

    Raises:
        UserError: what is there can't be used.
    """

    def __init__(
        self,
        model: str,
        limits: ImageConfig,
        max_name_chars: int,
        *,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._limits, self._max_name_chars = model, limits, max_name_chars
        self._interval_s, self._clock = interval_s, clock
        self._known = self._seen = fingerprint(guidance.folder(model))
        self._checked = clock()
        self._current = self._read()

    def current(self) -> Sharpened:
        """The guidance that holds now; the folder is checked where the last check is interval_s ago."""
        if self._clock() - self._checked >= self._interval_s:
            self._checked = self._clock()
            self._check()
        return self._current

    def _check(self) -> None:
        now = fingerprint(guidance.folder(self._model))
        if now == self._known or now != self._seen:
            self._seen = now
            return
        self._known = now
        try:
            self._current = self._read()
        except Exception as error:  # a bad folder must not end the ranking
            LOGGER.warning("the model's guidance is refused, the last one stays: %s: %s", type(error).__name__, error)

    def _read(self) -> Sharpened:
        return Sharpened(*guidance.read(self._model, self._limits, self._max_name_chars))
