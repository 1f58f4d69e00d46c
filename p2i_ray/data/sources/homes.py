"""The product that each new row shows, and its split; rows that are there keep both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import groups, mapped_rows, near_duplicates, numbers, splits, text_columns
from p2i_ray.data.cleaning import duplicates
from p2i_ray.data.schema import SPLITS
from p2i_ray.storage import spilled

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.data.sources.tasks import IngestConfig

BETWEEN = "between splits: its product is in {splits} already, and photos of one product are in one split"
ALIKE = "near-duplicate: its picture looks like that of "


def find(
    rows: pa.Table, before: pa.Table, renamed: pa.Table | None = None, *, settings: IngestConfig, seed: int
) -> pa.Table:
    """The home of each new row: its product and its split, and the reason why it is in none, which is null if it is.

    Args:
        rows: id, group, name, category, fingerprint and scene of those that are new.
        before: the ledger's lines.
        renamed: some of those as the source has them now, see additions.changed.
        settings: what makes a product, what is superfluous, and the splits.
        seed: of the splits.
    """
    import pyarrow as pa

    known = before if renamed is None else pa.concat_tables([before, renamed])
    columns = ["id", "group", "name", "category", "fingerprint"]
    shown = rows.select(columns)
    there = spilled.table((some.cast(shown.schema) for some in mapped_rows.pieces(known.select(columns))), shown.schema)
    shown = pa.concat_tables([there, shown])
    if not settings.cleaning.near_duplicates:
        return _homes(shown, rows, known, before=before, settings=settings, seed=seed)
    prints = near_duplicates.of_column(shown["fingerprint"])
    doubles = duplicates.superfluous(shown["id"], prints, settled=known.num_rows)
    single = np.ones(shown.num_rows, np.bool_)
    single[doubles["place"].to_numpy()] = False
    new = single[known.num_rows :]
    shown, rows = (mapped_rows.where(*each) for each in ((shown, _mask(single)), (rows, _mask(new))))
    found = _homes(shown, rows, known, before=before, settings=settings, seed=seed)
    return _woven(found, new, [f"{ALIKE}{like}" for like in doubles["like"].to_pylist()])


def _homes(
    shown: pa.Table, rows: pa.Table, known: pa.Table, *, before: pa.Table, settings: IngestConfig, seed: int
) -> pa.Table:
    """The homes of rows; `shown` are those that are there and behind them these."""
    import pyarrow as pa

    keys = groups.find(shown, settings.groups)
    places = keys.indices.to_numpy()
    product, products, settled = _settled(places[: known.num_rows], keys.dictionary, known)
    own = numbers.look_up(product, places[known.num_rows :])
    rows = rows.select(["category", "scene"]).append_column("product", text_columns.as_column(own, products))
    apart = numbers.look_up(np.bitwise_count(settled) > 1, own)
    free = mapped_rows.where(rows, _mask(~apart))
    assigned = splits.assign(free, settings=settings.split, seed=seed, before=before)
    found = pa.table({"product": free["product"], **{name: assigned[name] for name in assigned.column_names}})
    between = {mask: BETWEEN.format(splits=" and ".join(_splits(mask))) for mask in np.unique(settled).tolist()}
    return _woven(found, ~apart, [between[mask] for mask in settled[own[apart]].tolist()])


def _settled(
    shown: NDArray[np.int32], keys: pa.Array, known: pa.Table
) -> tuple[NDArray[np.int32], pa.Array, NDArray[np.int8]]:
    """The product of each key, as it is called already; the products; and the splits in which each has rows, as bits.

    Args:
        shown: the number of what each row that is there shows, by all that is known now.
        keys: what they are numbers of; some are of new rows alone.
        known: product and split of the rows that are there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    of_row, texts = text_columns.encode(known["product"])
    rank, order = text_columns.ranks(texts)
    split, split_names = text_columns.encode(known["split"])
    bits = np.array([1 << SPLITS.index(name) for name in split_names.to_pylist()], np.int8)
    smallest, first = np.full(len(keys), len(order), np.int32), np.full(len(keys), len(shown))
    found = np.zeros(len(keys), np.int8)
    for key, text, home, row in numbers.views(shown, of_row, split, numbers.upto(len(shown))):
        np.minimum.at(smallest, key, rank[text])
        np.minimum.at(first, key, row)
        np.bitwise_or.at(found, key, bits[home])
    names = texts.take(pa.array(np.append(order, -1)[smallest], pa.int64(), mask=smallest == len(order)))
    product, products = text_columns.encode(pa.chunked_array([pc.coalesce(names, keys)]))

    there = np.flatnonzero(first < len(shown))
    there = there[np.argsort(first[there])]  # of keys whose product has one name, the last counts
    settled = np.zeros(len(products), np.int8)
    settled[product[there]] = found[there]
    return product, products, settled


def _splits(mask: int) -> list[str]:
    return sorted(split for place, split in enumerate(SPLITS) if mask >> place & 1)


def _woven(found: pa.Table, has_home: NDArray[np.bool_], reasons: list[str]) -> pa.Table:
    """Homes, and between them the rows that have none, with the reason for each, in order."""
    import pyarrow as pa

    if has_home.all():
        return found
    columns = {}
    for name in found.column_names:
        own, texts = text_columns.encode(found[name])
        whole = numbers.filled(len(has_home), -1)
        whole[has_home] = own
        if name == "reason":
            kinds, distinct = text_columns.encode(pa.chunked_array([reasons], pa.string()))
            whole[~has_home] = len(texts) + kinds
            texts = pa.concat_arrays([texts, distinct])
        columns[name] = text_columns.as_column(whole, texts)
    return pa.table(columns)


def _mask(rows: NDArray[np.bool_]) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([rows])
