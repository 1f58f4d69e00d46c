"""A round's figures, found beside what comes next: critiques and the next round's scores don't need them."""

from __future__ import annotations

import threading

from p2i_ray import logs, resources
from p2i_ray.errors import brief
from p2i_ray.progress import say
from p2i_ray.runs import Run
from p2i_ray.steps.ahead import room
from p2i_ray.steps.painting import Figures, figures_of, measure


class Measuring:
    """Measures the pictures of each round.

    Args:
        run: the run.
        data: EPBD folder.
    """

    def __init__(self, run: Run, data: str) -> None:
        self._run = run
        self._data = data
        self._begun: dict[int, _Early] = {}

    def begin(self, number: int) -> None:
        """Begin with a painted round; where there is no room beside the judge, it is measured when this returns."""
        config = self._run.config
        beside = config.idr.ahead and config.idr.select and not self._run.done(number, "measure")
        if beside and room(resources.evaluate(config.evaluate), config):
            self._begun[number] = _Early(self._run, number, self._data)
            self._begun[number].start()
        else:
            measure(self._run, number, self._data)

    def finish(self, number: int) -> None:
        """Have the figures of a round that was begun with, if they aren't there yet."""
        early = self._begun.pop(number, None)
        if early is not None:
            measure(self._run, number, self._data, early.figures())


class _Early(threading.Thread):
    """Finds the figures of one round. A driver that ends meanwhile doesn't wait for them."""

    def __init__(self, run: Run, number: int, data: str) -> None:
        super().__init__(name=run.title(number, "measure"), daemon=True)
        self._run, self._number, self._data = run, number, data
        self._figures: Figures | None = None

    def run(self) -> None:
        try:
            with self._run.attempt.span("ahead", self._number, "measure"), logs.at(self.name):
                self._figures = figures_of(self._run, self._number, self._data)
        except Exception as error:  # it must not take the step beside it along
            say(f"{self.name} not done early, but in its turn: {brief(error)}")

    def figures(self) -> Figures | None:
        """Waits for them; none if that failed."""
        self.join()
        return self._figures
