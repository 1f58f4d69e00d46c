"""The evaluations whose pictures a study compares: out folders of jobs/evaluate.py."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from p2i_ray.data import footers, reading
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("id", "name", "category", "image", "cutout")
ROWS_READ = 16  # rows with pictures that are in memory at once


class Evaluated(NamedTuple):
    """The pictures of one method."""

    name: str
    folder: str
    model: str  # that painted: method and location
    files: list[str]  # locations of Parquet files


def find(folders: Sequence[str], names: Sequence[str] = ()) -> list[Evaluated]:
    """The evaluations of these folders.

    Args:
        folders: locations, absolute.
        names: of the methods, in the same order (none: the folders' last names, or where two are alike the whole ones).

    Raises:
        UserError: there are fewer than two, one is given twice, has no pictures or can't be read, or the names don't
            fit.
    """
    if len(folders) < 2:
        raise UserError("evaluated= names fewer than two folders; give the out= folders of evaluations, with commas")
    last = [PurePath(folder).name for folder in folders]
    named = list(names) or (last if len(set(last)) == len(last) else list(folders))
    if len(named) != len(folders):
        raise UserError(f"names= has {len(named)} names for {len(folders)} evaluations; give each one")
    for what, found in (("evaluated", folders), ("names", named)):
        if twice := [one for one, count in Counter(found).items() if count > 1]:
            raise UserError(f"{what}= has {twice[0]} twice; a study compares different ones")
    return [_open(name, folder) for name, folder in zip(named, folders, strict=True)]


def _open(name: str, folder: str) -> Evaluated:
    note = locations.join(folder, "generated.json")
    if not locations.exists(note):
        raise UserError(f"{folder} has no generated.json; give the out= folder of a jobs/evaluate.py that has painted")
    try:
        content = json.loads(locations.read_text(note))
        asked, files = content["asked"], [str(file) for file in content["files"]]
        model = f"{asked.get('method', 'product2img')} {asked['model']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{note} is no note of an evaluation; evaluate again") from None
    places = [locations.join(folder, "generated", file) for file in files]
    for place in places:
        if not locations.exists(place):
            raise UserError(f"{place} is not there, but {note} lists it; evaluate again")
    return Evaluated(name, folder, model, places)


def common(evaluated: Sequence[Evaluated]) -> list[str]:
    """The ids of products that all have painted, sorted.

    Raises:
        UserError: there are none, or a file can't be read.
    """
    first, *others = [_painted(one) for one in evaluated]
    found = first.intersection(*others)
    if not found:
        raise UserError(f"{', '.join(one.folder for one in evaluated)} have no product in common; paint the same split")
    return sorted(found)


def _painted(one: Evaluated) -> set[str]:
    """The ids of products that one has painted."""
    ids: list[str] = []
    for file in one.files:
        schema = footers.check(file, footers.read(file), COLUMNS)
        if "error" not in schema.names:
            raise UserError(f"{file} lacks the column error; evaluate again")
        ids += _table(file).column("id").to_pylist()
    if len(set(ids)) < len(ids):
        raise UserError(f"{one.folder} has a product twice: {Counter(ids).most_common(1)[0][0]}; give each id one row")
    return set(ids)


def _table(file: str) -> pa.Table:
    """The ids of the rows without an error."""
    import pyarrow.parquet as pq

    filesystem, path = locations.open_location(file)
    rows = pq.read_table(path, columns=["id", "error"], filesystem=filesystem)
    return rows.filter(rows["error"].is_null())


def rows(one: Evaluated, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows (`COLUMNS`) of these products, a few at a time."""
    for file in one.files:
        for table in reading.rows_of(file, ids, COLUMNS, ROWS_READ):
            yield from table.to_pylist()
