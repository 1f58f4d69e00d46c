"""What the loop's steps share: titles, progress, counts, and the manifests of steps that have run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from p2i_ray.config import FeatureConfig
from p2i_ray.console.progress import phase
from p2i_ray.errors import UserError
from p2i_ray.run.folder import Counts, Manifest, Run
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import Progress, Written


def finished(run: Run, number: int, step: str) -> Manifest:
    """The manifest of a step that has run.

    Raises:
        UserError: it is gone, and with it, most likely, the folder.
    """
    manifest = run.done(number, step)
    if manifest is None:
        raise UserError(
            f"the record of {step} is gone from {run.path(number, 'steps')}; is the run folder still there? "
            "The same command goes on when it is"
        )
    return manifest


def run_rows(run: Run, number: int) -> int | None:
    """|S_i|, if that selection was made."""
    manifest = run.done(number, "select")
    return manifest.rows_out if manifest else None


def feature_settings(run: Run) -> FeatureConfig:
    """The encoders', with a cache that outlasts an attempt which is killed."""
    cache = run.config.features.cache or locations.join(run.dir, "feature-cache")
    return run.config.features.model_copy(update={"cache": cache})


def counts(rows_in: int | None, written: Written) -> Counts:
    """A written folder as a step's counts."""
    return Counts(
        rows_in=rows_in or written.rows,
        rows_out=written.rows,
        set_aside=written.set_aside,
        files=written.files,
        facts=dict(written.facts),
    )


def title(run: Run, number: int, step: str) -> str:
    """What the progress line calls a step."""
    return run.title(number, step)


@contextmanager
def working(
    run: Run, number: int, step: str, total: int | None, unit: str = "rows", images: int = 0
) -> Iterator[Progress]:
    """Show how far a step is: on the terminal or in the log, in the attempt's record, and in Ray's metrics.

    Args:
        run: the run, within `run.once` of the step.
        number: the round.
        step: the step's name.
        total: units to do; none when that isn't known.
        unit: what is counted.
        images: pictures painted or learned from with each unit; none in the judge's steps.

    Yields:
        The function to call with the number of units just done.
    """
    with phase(title(run, number, step), total, unit) as show, run.attempt.working(total, unit, images) as record:

        def progress(done: int) -> None:
            show(done)
            record(done)

        yield progress
