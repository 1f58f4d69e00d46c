"""What must come out the same whatever happens to a run: kept ids, feedback, weights, and the way of every row."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

# Steps that rows go through, with the folder in which each row is found afterwards, done or set aside.
STEPS = {"score": "scores", "encode": "features", "generate": "generated", "critique": "critiques"}
Way = tuple[str, str]  # round and step
Left = dict[str, tuple[str | None, ...]]  # of each id, the reasons with which it left a step; none: done


@dataclass(frozen=True)
class Outcome:
    """A finished run, as far as it must be the same.

    Attributes:
        kept: ids of each round's selection.
        feedback: of each round.
        weights: SHA-256 of the final model's files.
        rows: of each step, how every row left it.
    """

    kept: dict[str, list[str]]
    feedback: dict[str, str]
    weights: dict[str, str]
    rows: dict[Way, Left]


class Verdict(NamedTuple):
    """A run beside an undisturbed one."""

    lost: int  # rows that left some step not at all, more than once, or otherwise
    ids: bool  # the same in every round
    feedback: bool
    weights: bool


def read(run_dir: Path) -> Outcome:
    """The outcome of a finished run."""
    kept = {f.parent.name: pq.read_table(f)["id"].to_pylist() for f in sorted(run_dir.glob("round-*/kept.parquet"))}
    feedback = {f.parent.name: f.read_text("utf-8") for f in sorted(run_dir.glob("round-*/feedback.txt"))}
    model = run_dir / "model"
    weights = {
        str(file.relative_to(model)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(model.rglob("*.safetensors"))
    }
    rows = {
        (manifest.parents[1].name, manifest.stem): _left(manifest)
        for manifest in sorted(run_dir.glob("round-*/steps/*.json"))
        if manifest.stem in STEPS
    }
    return Outcome(kept, feedback, weights, rows)


def compare(calm: Outcome, other: Outcome) -> Verdict:
    """The other one's verdict; nothing compared counts as different."""
    return Verdict(
        lost=lost(calm.rows, other.rows),
        ids=bool(calm.kept) and calm.kept == other.kept,
        feedback=bool(calm.feedback) and calm.feedback == other.feedback,
        weights=bool(calm.weights) and calm.weights == other.weights,
    )


def lost(calm: Mapping[Way, Left], other: Mapping[Way, Left]) -> int:
    """Rows that didn't leave a step once, and as in the undisturbed run; one that did so in two steps counts twice."""
    total = 0
    for way, expected in calm.items():
        found = other.get(way, {})
        total += sum(found.get(id_) != reasons for id_, reasons in expected.items())
        total += sum(id_ not in expected for id_ in found)
    return total


def _left(manifest: Path) -> Left:
    """The rows of the files that a step's manifest names."""
    folder = manifest.parents[1] / STEPS[manifest.stem]
    left: dict[str, list[str | None]] = defaultdict(list)
    for name in json.loads(manifest.read_text("utf-8"))["files"]:
        for row in pq.read_table(folder / name, columns=["id", "error"]).to_pylist():
            left[row["id"]].append(row["error"])
    return {id_: tuple(reasons) for id_, reasons in left.items()}
