"""The report's galleries: the same products after every round, and what the judge dropped and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.config import ImageConfig
from p2i_ray.report import pictures
from p2i_ray.report.data import Round
from p2i_ray.run.step_table import GENERATE, SELECT
from p2i_ray.storage import folders, locations, parquet

PRODUCTS = 10  # of D_dev, shown after every round
EXAMPLES = 8  # of kept and of dropped rows, a round
EXAMPLE_ROW_GROUPS = 4  # examples come from the first row groups of the training split


class Picture(NamedTuple):
    """A picture and the words around it."""

    uri: str | None  # none: there is no picture, `note` says why
    alt: str
    head: str
    note: str = ""


class Strip(NamedTuple):
    """One product of D_dev after every round."""

    name: str
    pictures: list[Picture]


class Examples(NamedTuple):
    """Training pictures that a round kept or dropped."""

    title: str
    kind: str  # "kept" or "dropped"
    pictures: list[Picture]


def strips(rounds: list[Round], limits: ImageConfig) -> list[Strip]:
    """The same few products of D_dev: the cutouts, and the pictures generated after every round."""
    generated = [r for r in rounds if GENERATE.name in r.steps]
    if not generated:
        return []
    ids = pictures.spread(_read(generated[-1], ["id", "category"]), PRODUCTS)
    columns = ["name", "image", "cutout", "error"]
    rows = {r.number: pictures.rows_by_id(_files(r), ids, columns) for r in generated}
    return [_strip(id_, generated, rows, limits) for id_ in ids]


def _strip(id_: str, generated: list[Round], rows: dict[int, dict[str, dict[str, Any]]], limits: ImageConfig) -> Strip:
    row = rows[generated[-1].number][id_]
    cutout = pictures.data_uri((row["cutout"] or {}).get("bytes"), limits)
    shown = [Picture(cutout, f"the cutout of {row['name']}", "Cutout")]
    for r in generated:
        found = rows[r.number].get(id_, {"image": None, "error": "not generated"})
        uri = pictures.data_uri((found["image"] or {}).get("bytes"), limits)
        if uri is None:
            note = found["error"] or "no picture"
        else:
            note = (", ".join(r.flaws[id_]) or "no flaw") if id_ in r.flaws else ""
        head = f"Round {r.number}" if r.number else "Before"
        shown.append(Picture(uri, f"{row['name']}, generated: {r.title.lower()}", head, note))
    return Strip(row["name"], shown)


def training_examples(scored: list[Round], config: dict[str, Any], limits: ImageConfig) -> tuple[list[Examples], str]:
    """Training pictures that the judge dropped in each round and kept in the last; a note if they can't be shown."""
    selected = [r for r in scored if SELECT.name in r.steps]
    if not selected:
        return [], ""
    files = folders.files(locations.join(locations.absolute(config["data"]), "train"), ".parquet")
    if not files:
        return [], f"The training pictures are not shown: {config['data']} is not there any more."
    near = set(pictures.first_ids(files, EXAMPLE_ROW_GROUPS))
    judged = {r.number: _judged(r, near) for r in selected}
    groups = [(f"Dropped in round {r.number}", "dropped", r, _dropped(judged[r.number])) for r in selected]
    last = selected[-1]
    groups.append((f"Kept in round {last.number}", "kept", last, _kept(judged[last.number])))
    rows = pictures.rows_by_id(files, {id_ for *_, ids in groups for id_ in ids}, ["name", "image"])
    found = []
    for title, kind, r, ids in groups:
        shown = [_example(rows[id_], judged, r.number, limits) for id_ in ids]
        found.append(Examples(title, kind, shown))
    return [group for group in found if group.pictures], ""


def _judged(r: Round, near: set[str]) -> dict[str, dict[str, Any]]:
    assert r.scores is not None
    scores = r.scores.filter(pc.is_in(r.scores["id"], value_set=pa.array(near, pa.string())))
    return {row["id"]: row for row in scores.to_pylist()}


def _dropped(judged: dict[str, dict[str, Any]]) -> list[str]:
    """Ids from the lowest score to the highest."""
    lost = [row for row in judged.values() if not row["kept"] and row["score"] is not None]
    lost.sort(key=lambda row: (row["score"], row["expected_score"] or 0, row["id"]))
    return [row["id"] for row in _evenly(lost)]


def _kept(judged: dict[str, dict[str, Any]]) -> list[str]:
    """Ids from the highest score to the lowest."""
    kept = [row for row in judged.values() if row["kept"]]
    kept.sort(key=lambda row: (-row["score"], -(row["expected_score"] or 0), row["id"]))
    return [row["id"] for row in _evenly(kept)]


def _evenly(rows: list[Any]) -> Iterator[Any]:
    """At most `EXAMPLES` rows, spread over the list."""
    count = min(EXAMPLES, len(rows))
    return (rows[i * len(rows) // count] for i in range(count))


def _example(
    row: dict[str, Any], judged: dict[int, dict[str, dict[str, Any]]], number: int, limits: ImageConfig
) -> Picture:
    marks = [scores[row["id"]] for n, scores in judged.items() if n <= number and row["id"] in scores]
    path = " → ".join("–" if mark["score"] is None else str(mark["score"]) for mark in marks)
    expected = marks[-1]["expected_score"]
    uri = pictures.data_uri((row["image"] or {}).get("bytes"), limits)
    head = path if expected is None else f"{path} ({expected:.2f})"
    return Picture(uri, f"training picture of {row['name']}", head, row["name"])


def _read(generated: Round, columns: list[str]) -> pa.Table:
    """Columns of a round's generated rows without an error."""
    names = generated.steps[GENERATE.name].files
    table = parquet.read_parquet(locations.join(generated.folder, GENERATE.output), names, [*columns, "error"])
    return table.filter(table["error"].is_null()).select(columns)


def _files(generated: Round) -> list[str]:
    return [locations.join(generated.folder, GENERATE.output, name) for name in generated.steps[GENERATE.name].files]
