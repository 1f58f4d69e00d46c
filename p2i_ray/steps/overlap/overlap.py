"""The overlap of steps: observes the loop's steps and does some of their work early.

    engines start         while products are painted before the first round
    rows are encoded      while others are scored in the first round
    images are criticised while others are painted
    a round is measured   beside its critiques and the next round's scores

Nothing depends on it: early work only fills caches, or finds figures that are recorded in their turn. A run without
it, or one killed in the middle of it, ends the same.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from p2i_ray.cluster import placement, resources
from p2i_ray.console import logs
from p2i_ray.console.progress import say
from p2i_ray.errors import one_line
from p2i_ray.judge.judge import Judge
from p2i_ray.run.folder import Run
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import CRITIQUE, ENCODE, STEPS, Key, Kind, Step
from p2i_ray.steps.overlap.background import in_background
from p2i_ray.steps.overlap.early_work import EarlyCritique, EarlyEncoding
from p2i_ray.steps.overlap.folder_watch import FileWork, FolderWatch


class Found(NamedTuple):
    """A value that was computed before its turn, the start of that (epoch seconds), and the seconds that it took."""

    value: Any
    began: float
    seconds: float


class Deferred(NamedTuple):
    """A step that runs in the background."""

    round: int
    step: Step
    computing: Future[Found]
    compute: Callable[[], Any]
    record: Callable[[str, Any], Counts]


@contextmanager
def overlapping(run: Run, data: str, judge: Judge) -> Iterator[None]:
    """Overlap the steps that the run does within the block, if idr.overlap asks for it.

    Leaving the block waits for what was deferred; when the block fails, early work is left as it is.
    """
    if not run.config.idr.overlap:
        yield
        return
    overlap = Overlap(run, data, judge)
    run.observe(overlap)
    run.defer_to(overlap.defer)
    yield
    overlap.finish()


class Overlap:
    """A `StepObserver` and a `Deferral` of one run.

    Args:
        run: the run.
        data: EPBD folder.
        judge: the judge, whose engines may be started early.
    """

    def __init__(self, run: Run, data: str, judge: Judge) -> None:
        self._run, self._data, self._judge = run, data, judge
        self._watches: dict[Key, FolderWatch] = {}
        self._deferred: Deferred | None = None  # one at a time

    @contextmanager
    def around(self, round_number: int, step: Step) -> Iterator[None]:
        """Wait for what the step needs of early work, and begin what may be done beside it."""
        early = [(later, begin) for later in STEPS if (begin := self._early_work(round_number, step, later))]
        if step.kind is Kind.TRAINING or any(later.kind is Kind.TRAINING for later, _ in early):
            self.finish()  # encoders and trainers take what a measuring task holds
        self._wait_for(step.key(round_number))
        self._start_engines(round_number, step)
        begun = [self._watch(round_number, step, later, begin) for later, begin in early]
        try:
            yield
        except BaseException:
            for watch in begun:
                watch.abandon()
            raise
        for watch in begun:
            watch.complete()

    def defer(
        self, round_number: int, step: Step, compute: Callable[[], Any], record: Callable[[str, Any], Counts]
    ) -> bool:
        """Begin a step in the background, if there is room beside the judge, once the one before it is done."""
        self.finish()
        if not (self._run.config.idr.judged and self._has_room(step)):
            return False
        find = functools.partial(self._find, round_number, step, compute)
        computing = in_background(find, self._run.title(round_number, step.name))
        self._deferred = Deferred(round=round_number, step=step, computing=computing, compute=compute, record=record)
        return True

    def finish(self) -> None:
        """Have the deferred step done, if there is one; what failed in the background is done again, now."""
        deferred, self._deferred = self._deferred, None
        if deferred is None:
            return
        number, step, record = deferred.round, deferred.step, deferred.record
        try:
            with self._run.attempt.span("wait", number, step.name):
                found = deferred.computing.result()
        except Exception as error:  # if it fails again in its turn, the step tells what it was
            say(f"{self._run.title(number, step.name)} not done early, but in its turn: {one_line(error)}")
            self._run.once(number, step, lambda out: record(out, deferred.compute()))
        else:
            self._run.once(number, step, lambda out: record(out, found.value), (found.began, found.seconds))

    def _find(self, number: int, step: Step, compute: Callable[[], Any]) -> Found:
        began, start = time.time(), time.perf_counter()
        with self._run.attempt.span("ahead", number, step.name), logs.at(self._run.title(number, step.name)):
            value = compute()
        return Found(value, began, time.perf_counter() - start)

    def _early_work(self, number: int, step: Step, later: Step) -> Callable[[], FileWork] | None:
        """The maker of the early work for a later step on this step's files; none where there is none."""
        config = self._run.config
        if later.early is None or later.early.follows != step.name or not later.wanted(config, number):
            return None
        if not self._has_room(ENCODE if later is ENCODE else step):
            return None
        # A row's own score must decide at once whether it is kept.
        if later is ENCODE and not config.idr.ranks and not config.judge.cascade.clip:
            return lambda: EarlyEncoding(self._run, self._data)
        if later is CRITIQUE and self._judge.keeps_answers:
            return lambda: EarlyCritique(self._judge)
        return None

    def _watch(self, number: int, step: Step, later: Step, begin: Callable[[], FileWork]) -> FolderWatch:
        recording = functools.partial(self._run.attempt.span, "ahead", number, later.name)
        title = self._run.title(number, later.name)
        watch = FolderWatch(self._run.path(number, step.output), begin, title, recording)
        self._watches[later.key(number)] = watch
        return watch

    def _wait_for(self, key: Key) -> None:
        watch = self._watches.pop(key, None)
        if watch is not None:
            with self._run.attempt.span("wait", *key):
                watch.wait()

    def _start_engines(self, number: int, step: Step) -> None:
        """Start the judge's engines while products are painted before the first round; who asks them waits for them.

        If the start fails, whoever needs the engines starts them again, and then it ends the run.
        """
        if number == 0 and step.kind is Kind.PAINTING and self._run.config.idr.judged and self._has_room(step):
            in_background(self._judge.start, "engines")

    def _has_room(self, step: Step) -> bool:
        """Whether the nodes that are there have room for a step beside the judge's engines."""
        config = self._run.config
        return step.takes is None or placement.has_room((step.takes(config), resources.judge(config.judge)))
