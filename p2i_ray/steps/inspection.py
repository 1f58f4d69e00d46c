"""Inspect: what the feedback changed in a selection, and which flaws went with the dropped rows, on a sample.

Three things about the same rows: the scores that the round gave, those that the judge gives without the feedback, and
the flaws that it names when it criticises them. The report lays them side by side.

    <out>/rows.parquet                the sample's ids
    <out>/without-feedback/*.parquet  as scores/, in rounds that have feedback
    <out>/critiques/*.parquet         as critiques/, of the training photos themselves
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from p2i_ray.config import LoopConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data import reading
from p2i_ray.judge.requests import flaws
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import INSPECT
from p2i_ray.steps import selection
from p2i_ray.steps.round import Exemplars, Output, Round
from p2i_ray.storage import locations, parquet

ROWS, CRITIQUES, UNFED = "rows.parquet", "critiques", "without-feedback"  # below the folder of the inspection


def inspect(this: Round, scores: Output, kept: Output, *, feedback: str, exemplars: Exemplars) -> None:
    """Look at a sample of D_{i-1}, if the settings want one: flaws of kept and dropped rows, scores without feedback.

    Args:
        this: the round.
        scores: of its candidates.
        kept: the ids of S_i.
        feedback: f_{i-1}, with which they were scored; empty: without.
        exemplars: c_R of the round.
    """
    settings = this.run.config.idr
    if not INSPECT.wanted(this.run.config, this.number):
        return

    def work(out: str) -> Counts:
        rows = write_sample(scores, settings.inspect, this.run.config.seed, out)
        with this.progress(INSPECT, None, "replies") as progress:
            files = _ask(this, out, feedback=feedback, exemplars=exemplars, progress=progress)
        known = flaws.names(this.run.config.judge.flaws)
        facts = compare(rows, kept, out=out, files=files, settings=settings, known=known)
        return Counts(rows_in=scores.rows, rows_out=facts["rows"], facts=facts)

    this.once(INSPECT, work)


def write_sample(scores: Output, number: int, seed: int, out: str) -> list[str]:
    """Write <out>/rows.parquet, the ids of a sample of the scored rows; returns them."""
    ids = sample(parquet.read_parquet(scores.location, scores.files, ["id"])["id"].to_pylist(), number, seed)
    parquet.write_table(pa.table({"id": pa.array(ids, pa.string())}), locations.join(out, ROWS))
    return ids


def _ask(
    this: Round, out: str, *, feedback: str, exemplars: Exemplars, progress: parquet.Progress
) -> dict[str, list[str]]:
    """Have the judge criticise the sample, and score it without the feedback; the files that count, by folder."""
    rows = reading.read_split(this.data, "train", keep=locations.join(out, ROWS), columns=this.judge.columns)
    files = {CRITIQUES: this.judge.critique(rows, locations.join(out, CRITIQUES), progress=progress).files}
    if feedback:
        unfed = locations.join(out, UNFED)
        files[UNFED] = this.judge.score(rows, unfed, feedback="", progress=progress, exemplars=exemplars).files
    return files


def compare(
    ids: list[str],
    kept: Output,
    *,
    out: str,
    files: dict[str, list[str]],
    settings: LoopConfig,
    known: Sequence[str],
) -> dict[str, Any]:
    """Compare the sample's rows with what was kept of them.

    Args:
        ids: of the sample.
        kept: the ids of S_i.
        out: the inspection's folder.
        files: of each folder below it, those that count.
        settings: what decides which rows are kept.
        known: the flaws on the list.

    Returns:
        rows: of the sample. flaws: for each flaw the fraction of the kept and of the dropped rows that show it, 0..1,
        null where there are none. feedback: the rows that both ways keep, both drop, only the feedback drops, and
        only the feedback keeps; null in a round without. files: as given.
    """
    folder, _, name = kept.location.rpartition("/")
    chosen = set(parquet.read_parquet(folder, [name], ["id"])["id"].to_pylist())
    critiques = parquet.read_parquet(locations.join(out, CRITIQUES), files[CRITIQUES], ["id", "flaws"])
    found: dict[str, Any] = {"rows": len(ids), "feedback": None, "files": files}
    if UNFED in files:
        without = parquet.read_parquet(locations.join(out, UNFED), files[UNFED])
        found["feedback"] = effect(set(ids), chosen, without, settings)
    return {**found, "flaws": flaw_shares(critiques, chosen, known)}


def sample(ids: list[str], number: int, seed: int) -> list[str]:
    """So many of the ids, those with the lowest hashes, sorted."""
    return sorted(heapq.nsmallest(number, ids, key=lambda id_: seed_for(seed, "inspect", id_)))


def effect(ids: set[str], kept: set[str], without: pa.Table, settings: LoopConfig) -> dict[str, int]:
    """The effect of the feedback on the selection of these rows: at the same gamma, or with as many kept.

    Args:
        ids: the sample.
        kept: ids that the round kept.
        without: the sample's scores without feedback.
        settings: what decides which rows are kept.
    """
    fed = ids & kept
    unfed = kept_without(without, len(fed) / len(ids), settings)
    return {
        "both_keep": len(fed & unfed),
        "both_drop": len(ids - fed - unfed),
        "only_feedback_drops": len(unfed - fed),
        "only_feedback_keeps": len(fed - unfed),
    }


def kept_without(without: pa.Table, share: float, settings: LoopConfig) -> set[str]:
    """Ids that would be kept without feedback: at the same gamma, or the same share of them."""
    if settings.ranks:
        return set(selection.keep_best(without, share)["id"].to_pylist()) if share else set()
    return set(selection.at_gamma(without, settings)["id"].to_pylist())


def flaw_shares(critiques: pa.Table, kept: set[str], known: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """For each flaw of the list the share of the kept and of the dropped rows in which it was named, 0..1."""
    named: dict[str, list[list[str]]] = {"kept": [], "dropped": []}
    for row in critiques.to_pylist():
        if row["flaws"] is not None:
            named["kept" if row["id"] in kept else "dropped"].append(row["flaws"])
    return {
        flaw: {
            group: sum(flaw in flaws for flaws in rows) / len(rows) if rows else None for group, rows in named.items()
        }
        for flaw in known
    }
