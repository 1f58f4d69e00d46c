"""How a selection came about, looked at on a sample: what the feedback changed, and which flaws went.

Three things about the same rows: the scores that the round gave, those that the judge gives without the feedback, and
the flaws that it names when it criticises them. The report lays them side by side.

    <out>/rows.parquet                the sample's ids
    <out>/without-feedback/*.parquet  as scores/, in rounds that have feedback
    <out>/critiques/*.parquet         as critiques/, of the training photos themselves
"""

from __future__ import annotations

import heapq
from typing import Any

import pyarrow as pa

from p2i_ray.config import LoopConfig
from p2i_ray.data import reading
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests.flaws import FLAWS
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.steps import selection
from p2i_ray.storage import locations, parquet


def inspect(
    judge: Judge,
    data: str,
    folder: str,
    scored: list[str],
    settings: LoopConfig,
    seed: int,
    fed: bool,
    shown: tuple[Exemplar, ...],
    out: str,
    progress: parquet.Progress | None = None,
) -> dict[str, Any]:
    """Look at a sample of a round's candidates.

    Args:
        judge: the one that scored them.
        data: EPBD folder.
        folder: the round's, with scores/ and kept.parquet.
        scored: the files of scores/ that count.
        settings: the loop's: how many rows, and what is kept.
        seed: with the ids, decides which rows.
        fed: the round was scored with feedback.
        shown: c_R of the round.
        out: location of the folder to write.
        progress: told the number of replies just written.

    Returns:
        rows: of the sample. flaws: for each flaw the share of the kept and of the dropped rows that show it, 0..1,
        null where there are none. feedback: the rows that both ways keep, both drop, only the feedback drops, and
        only the feedback keeps; null in a round without. files: of each folder below out, those that count.
    """
    scores = parquet.read_parquet(locations.join(folder, "scores"), scored, selection.COLUMNS)
    kept = set(parquet.read_parquet(folder, ["kept.parquet"], ["id"])["id"].to_pylist())
    listed = locations.join(out, "rows.parquet")
    ids = sample(scores["id"].to_pylist(), settings.inspect, seed)
    parquet.write_table(pa.table({"id": pa.array(ids, pa.string())}), listed)
    rows = reading.read_split(data, "train", keep=listed, columns=["id", "name", "image"])
    files = {"critiques": judge.critique(rows, locations.join(out, "critiques"), progress).files}
    found: dict[str, Any] = {"rows": len(ids), "feedback": None, "files": files}
    if fed:
        unfed = locations.join(out, "without-feedback")
        files["without-feedback"] = judge.score(rows, unfed, "", progress, shown).files
        found["feedback"] = effect(set(ids), kept, parquet.read_parquet(unfed, files["without-feedback"]), settings)
    critiques = parquet.read_parquet(locations.join(out, "critiques"), files["critiques"], ["id", "flaws"])
    found["flaws"] = flaw_shares(critiques, kept)
    return found


def sample(ids: list[str], number: int, seed: int) -> list[str]:
    """So many of the ids, those with the lowest hashes, sorted."""
    return sorted(heapq.nsmallest(number, ids, key=lambda id_: locations.seed_for(seed, "inspect", id_)))


def effect(ids: set[str], kept: set[str], without: pa.Table, settings: LoopConfig) -> dict[str, int]:
    """What the feedback did to the selection of these rows: at the same gamma, or with as many kept.

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
    if settings.keep_fraction is not None:
        return set(selection.keep_best(without, share)["id"].to_pylist()) if share else set()
    return set(selection.at_gamma(without, settings)["id"].to_pylist())


def flaw_shares(critiques: pa.Table, kept: set[str]) -> dict[str, dict[str, float | None]]:
    """For each flaw of the list the share of the kept and of the dropped rows in which it was named, 0..1."""
    named: dict[str, list[list[str]]] = {"kept": [], "dropped": []}
    for row in critiques.to_pylist():
        if row["flaws"] is not None:
            named["kept" if row["id"] in kept else "dropped"].append(row["flaws"])
    return {
        flaw: {
            group: sum(flaw in flaws for flaws in rows) / len(rows) if rows else None for group, rows in named.items()
        }
        for flaw in FLAWS
    }
