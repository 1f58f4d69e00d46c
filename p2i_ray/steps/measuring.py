"""A round's figures, found beside what comes next: critiques and the next round's scores don't need them."""

from __future__ import annotations

import time

from p2i_ray.cluster import resources
from p2i_ray.console import logs
from p2i_ray.console.progress import say
from p2i_ray.errors import one_line
from p2i_ray.run.folder import Run
from p2i_ray.steps.ahead import room
from p2i_ray.steps.beside import Beside
from p2i_ray.steps.painting import Found, figures_of, measure


class Measuring:
    """Measures the pictures of each round.

    Args:
        run: the run.
        data: EPBD folder.
    """

    def __init__(self, run: Run, data: str) -> None:
        self._run = run
        self._data = data
        self._begun: dict[int, Beside[Found]] = {}

    def begin(self, number: int) -> None:
        """Begin with a painted round; where there is no room beside the judge, it is measured when this returns."""
        config = self._run.config
        beside = config.idr.overlap and config.idr.select and not self._run.done(number, "measure")
        if beside and room(resources.evaluate(config.evaluate), config):
            early = Beside(lambda: self._find(number), self._run.title(number, "measure"))
            self._begun[number] = early
            early.start()
        else:
            measure(self._run, number, self._data)

    def finish(self, number: int) -> None:
        """Have the figures of a round that was begun with, if they aren't there yet."""
        early = self._begun.pop(number, None)
        if early is None:
            return
        found = None
        try:
            with self._run.attempt.span("wait", number, "measure"):
                found = early.result()
        except Exception as error:  # what it was tells its step, in its turn
            say(f"{early.name} not done early, but in its turn: {one_line(error)}")
        measure(self._run, number, self._data, found)

    def _find(self, number: int) -> Found:
        began, start = time.time(), time.perf_counter()
        with self._run.attempt.span("ahead", number, "measure"), logs.at(self._run.title(number, "measure")):
            figures = figures_of(self._run, number, self._data)
        return Found(figures, began, time.perf_counter() - start)
