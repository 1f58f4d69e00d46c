"""What finished steps leave on record, and a run at a glance: its rounds, added up from the manifests.

<run_dir>/round-N/steps/<step>.json   one manifest a step
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from p2i_ray.run.step_table import FEEDBACK, MEASURE, SELECT
from p2i_ray.storage import locations

HEADS = ("round", "kept", "set aside", "FID", "CLIP-c-I", "CLIP-c-B", "seconds", "feedback")
METRICS = ("fid", "clip_c_i", "clip_c_b")


class Counts(BaseModel):
    """What a step reports when it has finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_in: int = 0
    rows_out: int = 0
    set_aside: int = 0
    files: list[str] = []  # the files that count, within the step's output folder
    facts: dict[str, Any] = {}  # whatever else the step found out


class Manifest(Counts):
    """What a finished step leaves on record."""

    step: str
    round: int
    seconds: float
    began: float | None = None  # UTC, epoch seconds; none: an older version wrote it


def folder(run_dir: str, number: int) -> str:
    """A round's folder."""
    return locations.join(run_dir, f"round-{number}")


def read(run_dir: str, number: int) -> dict[str, Manifest]:
    """The manifests of a round's finished steps, by step."""
    paths = locations.files(locations.join(folder(run_dir, number), "steps"), ".json")
    manifests = [Manifest.model_validate_json(locations.read_text(path)) for path in paths]
    return {manifest.step: manifest for manifest in manifests}


def rounds(run_dir: str, last: int) -> list[dict[str, Any]]:
    """The rounds from 0 to `last` that have begun, as run.json shows them."""
    found = ((number, read(run_dir, number)) for number in range(last + 1))
    return [_round(number, steps) for number, steps in found if steps]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rounds for a terminal, a line a round."""
    lines = [HEADS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS) - 1)]
    return "\n".join("  ".join([*(c.rjust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in lines)


def _round(number: int, steps: dict[str, Manifest]) -> dict[str, Any]:
    kept, feedback, metrics = (steps.get(step.name) for step in (SELECT, FEEDBACK, MEASURE))
    return {
        "round": number,
        "kept": kept.rows_out if kept else None,
        "set_aside": sum(m.set_aside for m in steps.values()),
        "feedback": feedback.facts["feedback"] if feedback else None,
        "metrics": metrics.facts if metrics else {},
        "steps": {
            name: {"seconds": m.seconds, "rows_in": m.rows_in, "rows_out": m.rows_out, "set_aside": m.set_aside}
            for name, m in steps.items()
        },
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    figures = [f"{row['metrics'][key]:.2f}" if key in row["metrics"] else "-" for key in METRICS]
    seconds = sum(step["seconds"] for step in row["steps"].values())
    kept = "-" if row["kept"] is None else str(row["kept"])
    return (str(row["round"]), kept, str(row["set_aside"]), *figures, f"{seconds:.0f}", row["feedback"] or "")
