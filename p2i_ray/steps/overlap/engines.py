"""The judge's engines around the other steps: they give way to training, or keep their fraction of each GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.cluster import placement, resources
from p2i_ray.judge.judge import Judge
from p2i_ray.run.folder import Run
from p2i_ray.run.step_table import CRITIQUE, Kind, Step
from p2i_ray.steps.overlap.background import in_background


class JudgeEngines:
    """A `StepObserver` that starts and stops the engines where other steps want GPUs.

    Args:
        run: the run.
        judge: starts its engines by itself when it is asked.
    """

    def __init__(self, run: Run, judge: Judge) -> None:
        self._run, self._judge = run, judge
        self._shares = bool(run.config.idr.judge_gpu_fraction and run.config.idr.judged)
        self._reserved = False

    @contextmanager
    def around(self, round_number: int, step: Step) -> Iterator[None]:
        """Reserve the engines' fraction before the first step; make way for training."""
        if self._shares and not self._reserved:
            self.reserve()
        if step.kind is Kind.TRAINING:
            self.make_way()
        yield

    def reserve(self) -> None:
        """Have the engines' fraction of each GPU reserved before any other step takes its own.

        Else two trainers would find room on one GPU. The engines start while the first step runs.
        """
        self._reserved = True
        config, judge = self._run.config, self._judge
        if self._run.done(config.idr.rounds, CRITIQUE):
            return
        if not config.idr.overlap:
            judge.start()
            return
        before = placement.reserved_gpus()
        starting = in_background(judge.start, "engines")
        placement.wait_until_reserved(before, resources.judge(config.judge), lambda: not starting.done())
        if starting.done():
            starting.result()

    def make_way(self) -> None:
        """Free whole GPUs for training, or have the engines up, each on its fraction of one."""
        if self._shares:
            self._judge.start()
        self._judge.release()
