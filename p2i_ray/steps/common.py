"""What the loop's steps share: titles, counts, and the manifests of steps that have run."""

from __future__ import annotations

from p2i_ray.runs import Counts, Manifest, Run
from p2i_ray.sink import Written


def finished(run: Run, number: int, step: str) -> Manifest:
    """The manifest of a step that must have run."""
    manifest = run.done(number, step)
    assert manifest is not None, f"step {step} of round {number} has not run"
    return manifest


def run_rows(run: Run, number: int) -> int | None:
    """|S_i|, if that selection was made."""
    manifest = run.done(number, "select")
    return manifest.rows_out if manifest else None


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
    return f"round {number}/{run.config.idr.rounds} · {step}"
