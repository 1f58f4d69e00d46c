"""The part of a run's result that no fault may change: kept ids, feedback, weights, and the result of every row."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from p2i_ray.run import step_table
from p2i_ray.run.step_table import FEEDBACK, SELECT

# Steps that rows go through, with the folder in which each row is found afterwards, done or set aside.
STEPS = {step.name: step.output for step in step_table.STEPS if step.by_row}
RoundStep = tuple[str, str]  # round and step
RowErrors = dict[str, tuple[str | None, ...]]  # by id: the errors of the rows with which it left a step; none: done


@dataclass(frozen=True)
class Outcome:
    """The comparable part of a finished run.

    Attributes:
        kept: ids of each round's selection.
        feedback: text of each round.
        weights: SHA-256 of the final model's files.
        rows: by step, how every row left it.
    """

    kept: dict[str, list[str]]
    feedback: dict[str, str]
    weights: dict[str, str]
    rows: dict[RoundStep, RowErrors]


class Verdict(NamedTuple):
    """The comparison of a run with an undisturbed one."""

    lost: int  # rows that some step lost, repeated, or finished differently
    ids: bool  # the same in every round
    feedback: bool
    weights: bool


def read(run_dir: Path) -> Outcome:
    """The outcome of a finished run."""
    selections = sorted(run_dir.glob(f"round-*/{SELECT.output}"))
    kept = {file.parent.name: pq.read_table(file)["id"].to_pylist() for file in selections}
    texts = sorted(run_dir.glob(f"round-*/{FEEDBACK.output}"))
    feedback = {file.parent.name: file.read_text("utf-8") for file in texts}
    model = run_dir / "model"
    weights = {
        str(file.relative_to(model)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(model.rglob("*.safetensors"))
    }
    rows = {
        (manifest.parents[1].name, manifest.stem): _row_errors(manifest)
        for manifest in sorted(run_dir.glob("round-*/steps/*.json"))
        if manifest.stem in STEPS
    }
    return Outcome(kept, feedback, weights, rows)


def compare(baseline: Outcome, other: Outcome) -> Verdict:
    """Compare a run with the baseline; where there is nothing to compare it counts as different."""
    return Verdict(
        lost=lost(baseline.rows, other.rows),
        ids=bool(baseline.kept) and baseline.kept == other.kept,
        feedback=bool(baseline.feedback) and baseline.feedback == other.feedback,
        weights=bool(baseline.weights) and baseline.weights == other.weights,
    )


def lost(baseline: Mapping[RoundStep, RowErrors], other: Mapping[RoundStep, RowErrors]) -> int:
    """Number of rows that didn't leave a step exactly once with the baseline's result, summed over the steps."""
    total = 0
    for step, expected in baseline.items():
        found = other.get(step, {})
        total += sum(found.get(id_) != reasons for id_, reasons in expected.items())
        total += sum(id_ not in expected for id_ in found)
    return total


def _row_errors(manifest: Path) -> RowErrors:
    """The rows of the files that a step's manifest names."""
    folder = manifest.parents[1] / STEPS[manifest.stem]
    left: dict[str, list[str | None]] = defaultdict(list)
    for name in json.loads(manifest.read_text("utf-8"))["files"]:
        for row in pq.read_table(folder / name, columns=["id", "error"]).to_pylist():
            left[row["id"]].append(row["error"])
    return {id_: tuple(reasons) for id_, reasons in left.items()}
