"""The photos of "How the selection changed": those that the feedback dropped or rescued, and the judge's exemplars.

Which these are comes from the scores with the feedback and without it, on the sample of steps/inspection.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.config import ImageConfig, LoopConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.requests import exemplars
from p2i_ray.report import pictures
from p2i_ray.report.data import Round, RunFolder
from p2i_ray.run.step_table import EXEMPLARS, INSPECT
from p2i_ray.steps import selection
from p2i_ray.steps.exemplars import FILE
from p2i_ray.steps.inspection import kept_without
from p2i_ray.storage import folders, locations, parquet

DROPPED, RESCUED = 12, 4  # photos shown a round


class Photo(NamedTuple):
    """A photo and the words below it."""

    uri: str | None  # none: it can't be decoded
    alt: str
    head: str
    name: str
    flaws: str = ""


class Effect(NamedTuple):
    """The effect of the feedback on a round's sample."""

    title: str
    rows: int
    told: str  # the feedback
    counts: dict[str, int]
    named: str  # what the critique finds in the photos that only the feedback drops
    dropped: list[Photo]  # kept without the feedback, dropped with it
    rescued: list[Photo]  # the other way round


class Shown(NamedTuple):
    """The exemplars that the judge was shown in a round."""

    title: str
    photos: list[Photo]
    note: str = ""  # why there are none


class Changed(NamedTuple):
    """The photos of a sample whose selection the feedback changed: id -> score without -> with it, as text."""

    dropped: dict[str, str]
    rescued: dict[str, str]


def effects(fed: list[Round], run: RunFolder, limits: ImageConfig) -> tuple[list[Effect], str]:
    """The effect of the feedback in each round that had it; a note if the photos can't be shown."""
    if not fed:
        return [], ""
    settings = LoopConfig.model_validate(run.config["idr"])
    told = {r.number + 1: r.feedback or "" for r in run.rounds}
    files = folders.files(locations.join(locations.absolute(run.config["data"]), "train"), ".parquet")
    note = "" if files else f"The photos are not shown: {run.config['data']} is not there any more."
    found = []
    for r in fed:
        scores, named = changed(r, settings), criticised(r)
        found.append((r, scores, named, _some(scores.dropped, named, DROPPED), _some(scores.rescued, named, RESCUED)))
    ids = {id_ for *_, dropped, rescued in found for id_ in [*dropped, *rescued]}
    rows = pictures.rows_by_id(files, ids, ["name", "image"])
    return [
        Effect(
            title=r.title,
            rows=r.steps[INSPECT.name].facts["rows"],
            told=told.get(r.number, ""),
            counts=r.steps[INSPECT.name].facts["feedback"],
            named=tally(scores.dropped, named),
            dropped=[_photo(rows[i], scores.dropped[i], named.get(i), limits) for i in dropped if i in rows],
            rescued=[_photo(rows[i], scores.rescued[i], named.get(i), limits) for i in rescued if i in rows],
        )
        for r, scores, named, dropped, rescued in found
    ], note


def criticised(r: Round) -> dict[str, list[str]]:
    """The flaws that the critique named, by id, for the sample's rows with an answer."""
    names = r.steps[INSPECT.name].facts["files"]["critiques"]
    if not names:
        return {}
    table = parquet.read_parquet(locations.join(r.folder, INSPECT.output, "critiques"), names, ["id", "flaws"])
    return {row["id"]: row["flaws"] for row in table.to_pylist() if row["flaws"] is not None}


def changed(r: Round, settings: LoopConfig) -> Changed:
    """The photos of a round's sample that only the feedback drops, and those that only the feedback keeps.

    Decided as inspection.effect counts them.

    Args:
        r: a round with the step inspect, and feedback.
        settings: what decides which rows are kept.
    """
    assert r.scores is not None
    folder, names = locations.join(r.folder, INSPECT.output), r.steps[INSPECT.name].facts["files"]["without-feedback"]
    unfed = parquet.read_parquet(locations.join(folder, "without-feedback"), names, selection.COLUMNS)
    sample = parquet.read_parquet(folder, ["rows.parquet"], ["id"])["id"].combine_chunks()
    fed = r.scores.filter(pc.is_in(r.scores["id"], value_set=sample))
    kept = set(fed.filter(fed["kept"])["id"].to_pylist())
    kept_unfed = kept_without(unfed, len(kept) / fed.num_rows, settings)
    column = "expected_score" if settings.ranks else settings.threshold_on
    before, after = (dict(zip(t["id"].to_pylist(), t[column].to_pylist(), strict=True)) for t in (unfed, fed))

    def listed(ids: set[str]) -> dict[str, str]:
        return {id_: f"{_score(before.get(id_))} → {_score(after[id_])}" for id_ in sorted(ids)}

    return Changed(listed(kept_unfed - kept), listed(kept - kept_unfed))


def _score(value: float | None) -> str:
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def tally(ids: Collection[str], named: dict[str, list[str]]) -> str:
    """Count the photos in which the critique names each flaw, the most frequent first, as text."""
    answered = [named[id_] for id_ in ids if id_ in named]
    counts = Counter(flaw for flaws in answered for flaw in flaws)
    clean = sum(not flaws for flaws in answered)
    parts = [f"{flaw} in {count:,}" for flaw, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return ", ".join([*parts, *([f"no flaw in {clean:,}"] if clean else [])])


def _some(ids: Collection[str], named: dict[str, list[str]], count: int) -> list[str]:
    """Pick `count` of the photos, each mixture of flaws in turn."""
    mixtures = [", ".join(named.get(id_, ["~"])) or "~" for id_ in ids]  # those without a flaw come last
    return pictures.spread(pa.table({"id": pa.array(ids, pa.string()), "category": mixtures}), count)


def _photo(row: dict[str, Any], head: str, flaws: list[str] | None, limits: ImageConfig) -> Photo:
    uri = pictures.data_uri((row["image"] or {}).get("bytes"), limits)
    named = "" if flaws is None else ", ".join(flaws) or "no flaw named"
    return Photo(uri=uri, alt=f"training photo of {row['name']}", head=head, name=row["name"], flaws=named)


def shown(run: RunFolder, limits: ImageConfig) -> Iterator[Shown]:
    """c_R of every round that had one: as the user gave it, or out of the round before."""
    given, own = run.config["judge"].get("exemplars"), run.config["idr"].get("exemplars")
    if given:
        title = "In round 1, given with judge.exemplars" if own else "In every round, given with judge.exemplars"
        yield _shown(title, locations.absolute(given), run, limits)
    for r in run.rounds:
        if EXEMPLARS.name in r.steps and r.number < run.config["idr"]["rounds"]:
            location = locations.join(r.folder, EXEMPLARS.output, FILE)
            yield _shown(f"In round {r.number + 1}, out of round {r.number}", location, run, limits)


def _shown(title: str, location: str, run: RunFolder, limits: ImageConfig) -> Shown:
    try:
        read = exemplars.read(location, limits, run.config["judge"]["max_name_chars"])
    except UserError as error:
        return Shown(title, [], f"They can't be shown: {error}.")
    photos = []
    for one in read:
        uri = pictures.data_uri(one.image_part["image"], limits)
        photos.append(Photo(uri, f"exemplar: {one.name}", f"score {one.score}", one.name))
    return Shown(title, photos)
