"""A round, as its steps see it, and what they hand on to each other: locations and counts, never rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from p2i_ray.console.progress import phase
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.run.folder import Run
from p2i_ray.run.manifests import Counts, Manifest
from p2i_ray.run.step_table import Step
from p2i_ray.storage.parquet import Progress, Written

Exemplars = tuple[Exemplar, ...]  # c_R


@dataclass(frozen=True)
class Round:
    """One round of a run.

    Attributes:
        run: the run folder.
        number: 1, 2, …; 0 is before training.
        data: location of the EPBD folder.
        judge: R, F and SUM; not asked with idr.select=false.
        held_out: another judge, which never selects (none: evaluate.judge has none).
    """

    run: Run
    number: int
    data: str
    judge: Judge
    held_out: Judge | None = None

    def path(self, *parts: str) -> str:
        """A location below the round's folder."""
        return self.run.path(self.number, *parts)

    def title(self, step: Step) -> str:
        """A step's name in messages, e.g. "round 2/3 · train"."""
        return self.run.title(self.number, step.name)

    def once(self, step: Step, work: Callable[[str], Counts]) -> Output:
        """Do a step of the round, unless it is done already; `work` gets the location of its output."""
        return Output(self.path(step.output), self.run.once(self.number, step, work))

    @contextmanager
    def progress(self, step: Step, total: int | None, unit: str = "rows", images: int = 0) -> Iterator[Progress]:
        """Show how far a step is: on the terminal or in the log, in the attempt's record, and in Ray's metrics.

        Args:
            step: the step, within `once` of it.
            total: units to do; none when that isn't known.
            unit: what is counted.
            images: images painted or learned from with each unit; 0 in the judge's steps.

        Yields:
            The function to call with the number of units just done.
        """
        with (
            phase(self.title(step), total, unit) as show,
            self.run.attempt.working(total, unit, images) as record,
        ):

            def progress(done: int) -> None:
                show(done)
                record(done)

            yield progress


class Output(NamedTuple):
    """A finished step's output."""

    location: str  # of the file or folder
    manifest: Manifest

    @property
    def files(self) -> list[str]:
        """Names of the files in the folder that count."""
        return self.manifest.files

    @property
    def rows(self) -> int:
        """Rows in it."""
        return self.manifest.rows_out


def counts(rows_in: int | None, written: Written) -> Counts:
    """A written folder as a step's counts."""
    return Counts(
        rows_in=rows_in or written.rows,
        rows_out=written.rows,
        set_aside=written.set_aside,
        files=written.files,
        facts=dict(written.facts),
    )
