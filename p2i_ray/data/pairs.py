"""Join the pairs of BG-Pair: two pictures are two rows, and painting in a reference's style reads it from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data import pair_list, publishing, reading
from p2i_ray.data.pair_list import Pair
from p2i_ray.data.schema import REFERENCES, REJECTED, SCHEMA
from p2i_ray.data.statistics import splits_of
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT = "test"  # that joined pairs are written to: all of them are for testing
BATCH = 64  # pairs that are read at a time


class Joined(NamedTuple):
    """Outcomes of the list's lines: each is in one of the two."""

    pairs: int  # written
    left_out: Mapping[str, str]  # id of the pair -> why it could not be joined


def join(data: str, out: str, progress: parquet.Progress | None = None) -> Joined:
    """Write each pair once: its product's row, and its reference in the columns `reference` and `reference_cutout`.

    A picture may be in several pairs. Their pictures are found in all splits, and the pairs are written into one, which
    appears when it is complete: a part of it could be painted and measured, and nobody would notice. The row's id is
    the pair's, its name and category are those that the list has in the pair's line.

    Args:
        data: location of the EPBD folder.
        out: location of the folder to write.
        progress: called with the number of lines just dealt with.

    Raises:
        UserError: it has no pairs, or none can be joined.
    """
    pairs = pair_list.read(data)
    files = [file for split in splits_of(data) for file in reading.split_files(data, split)]
    place = {id_: file for file in files for id_ in reading.ids_of(file)}
    aside = _set_aside(data)
    left_out: dict[str, str] = {}
    building, written = publishing.building_folder(out), list[str]()
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        left_out |= {pair.id: reason for pair in some if (reason := _lacking(pair, place, aside))}
        whole = [pair for pair in some if pair.id not in left_out]
        if whole:
            table = _joined(whole, place)
            left_out |= _without_scene(whole, table)
            table = table.filter(table[REFERENCES.names[0]].is_valid())
            if table.num_rows:
                written.append(f"part-{start // BATCH:05}.parquet")
                parquet.write_table(table, locations.join(building, SPLIT, written[-1]))
        if progress:
            progress(len(some))
    if len(left_out) == len(pairs):
        id_, reason = next(iter(left_out.items()), ("", "its list is empty"))
        raise UserError(f"{data}: none of {len(pairs)} pairs can be joined; {id_}: {reason}")
    publishing.publish(building, out, {SPLIT: written})
    return Joined(len(pairs) - len(left_out), left_out)


def _set_aside(data: str) -> dict[str, str]:
    """Reasons why rows are in no split, by their ids."""
    folder = locations.join(data, REJECTED)
    names = folders.names(folder, ".parquet")
    if not names:
        return {}
    rows = parquet.read_parquet(folder, names, ["id", "reason"])
    return dict(zip(rows["id"].to_pylist(), rows["reason"].to_pylist(), strict=True))


def _lacking(pair: Pair, place: Mapping[str, str], aside: Mapping[str, str]) -> str | None:
    """The reason why a pair has not both pictures; None if it has."""
    if pair.reason:
        return pair.reason
    for role, id_ in (("picture", pair.picture), ("reference", pair.reference)):
        if id_ not in place:
            kind, _, more = aside.get(id_, "not in the data: it is in no split").partition(": ")
            return f"{kind}: {role} {id_}" + (f", {more}" if more else "")
    return None


def _without_scene(pairs: Sequence[Pair], table: pa.Table) -> dict[str, str]:
    """Pairs whose reference is a cutout without a scene, in which there is no style to see."""
    missing = table[REFERENCES.names[0]].is_null().to_pylist()
    return {
        pair.id: f"no scene: reference {pair.reference} is a cutout alone"
        for pair, is_missing in zip(pairs, missing, strict=True)
        if is_missing
    }


def _joined(pairs: Sequence[Pair], place: Mapping[str, str]) -> pa.Table:
    """Products with their references, in the order of the pairs, (len(pairs),)."""
    import pyarrow as pa

    table = _rows([pair.picture for pair in pairs], place, SCHEMA.names)
    categories = [pair.category for pair in pairs]  # the data set's names, too
    for name, texts in {"id": [pair.id for pair in pairs], "name": categories, "category": categories}.items():
        number = table.column_names.index(name)
        table = table.set_column(number, SCHEMA.field(name), pa.chunked_array([pa.array(texts, pa.string())]))
    others = _rows([pair.reference for pair in pairs], place, ["id", "image", "cutout"])
    for field, column in zip(REFERENCES, ("image", "cutout"), strict=True):
        table = table.append_column(field, others[column].cast(field.type))
    return table


def _rows(ids: Sequence[str], place: Mapping[str, str], columns: list[str]) -> pa.Table:
    """The rows of these ids, in their order; an id may be there several times."""
    import pyarrow as pa

    table = pa.concat_tables(_read(dict.fromkeys(ids), place, columns))
    order = {id_: row for row, id_ in enumerate(table["id"].to_pylist())}
    return table.take([order[id_] for id_ in ids])


def _read(ids: Mapping[str, None], place: Mapping[str, str], columns: list[str]) -> Iterator[pa.Table]:
    for file in dict.fromkeys(place[id_] for id_ in ids):
        yield from reading.rows_of(file, [id_ for id_ in ids if place[id_] == file], columns, BATCH)
