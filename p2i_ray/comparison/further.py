"""Further metrics of a finished evaluation: its pictures and figures stay, and what it lacks is measured beside them.

A folder with a record takes no other pictures. What is measured waits in <out>/further until all of it is there; then
it joins the values, the figures and, last, the record, so that an attempt that fails is made anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from p2i_ray.comparison.evaluation import METRICS, Evaluation, lasting
from p2i_ray.errors import UserError
from p2i_ray.evaluate import picture_values, record
from p2i_ray.evaluate.record import Record
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    from p2i_ray.judge.judge import Judge

FOLDER = "further"


def recorded(out: str) -> Record | None:
    """The record of an evaluation's folder; none: it is new, or its figures aren't there yet."""
    return record.read(out) if locations.exists(locations.join(out, record.FILE)) else None


def lacking(evaluation: Evaluation, before: Record, out: str) -> Evaluation:
    """The evaluation with the metrics alone that a folder's record lacks.

    Raises:
        UserError: it lacks none.
    """
    metrics = tuple(name for name in evaluation.metrics if name not in before.metrics)
    if not metrics:
        has = ", ".join(before.metrics)
        raise UserError(
            f"{out} is there already, and has {has}; ask for others by methods=, give another out, or remove it"
        )
    return replace(evaluation, metrics=metrics)


def check(evaluation: Evaluation, out: str) -> None:
    """Check that a finished evaluation's pictures are those that this one would paint.

    Raises:
        UserError: they were painted with something else, or are gone.
    """
    note = locations.join(out, "generated.json")
    before = json.loads(locations.read_text(note))["asked"] if locations.exists(note) else {}
    before, asked = lasting(before), lasting(evaluation.painted_by)
    every = {**before, **asked}  # a baseline has more that its pictures depend on
    others = [key for key in every if before.get(key) != asked.get(key)]
    if others:
        raise UserError(
            f"{out} is there already, and its pictures were painted with something else ({', '.join(others)}); give "
            "the settings, model and data that it was made with to measure further methods, or another out"
        )


def measure(evaluation: Evaluation, before: Record, out: str, *, judge: Judge | None = None) -> dict[str, float]:
    """The figures of the metrics that were lacking, which join those of the folder.

    Args:
        evaluation: as of `lacking`, checked.
        before: the folder's record.
        out: its location.
        judge: that answers, as of Evaluation.measure.
    """
    folder, files = evaluation.paint(out)  # which are there
    beside = locations.join(out, FOLDER)
    locations.remove(beside)
    figures = evaluation.measure(folder, files, beside, judge)
    found = record.read(beside)
    for answers in (f"answers-{name.replace('_', '-')}" for name in evaluation.judged):
        _copy(locations.join(beside, answers), locations.join(out, answers))
    picture_values.join(beside, out, evaluation.metrics)
    known = locations.join(out, METRICS)
    every = json.loads(locations.read_text(known)) if locations.exists(known) else {}
    locations.write_text(known, json.dumps({**every, **figures}, indent=1))
    judges = " and ".join(dict.fromkeys(one for one in (before.judge, found.judge) if one)) or None
    metrics = {**before.metrics, **found.metrics}
    record.write(Record(model=before.model, judge=judges, metrics=metrics), out)
    locations.remove(beside)
    return figures


def _copy(folder: str, to: str) -> None:
    locations.remove(to)
    for name in folders.names(folder):
        locations.write_bytes(locations.join(to, name), locations.read_bytes(locations.join(folder, name)))
