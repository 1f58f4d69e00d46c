"""The driver's part of an ingestion, without Ray and without pictures.

Which rows are made, and in which order; and, when their tasks have reported, which split each goes to and what its
shards and the ledger have of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2i_ray.data import mapped_rows, numbers, splits, text_columns
from p2i_ray.data.schema import SPLITS
from p2i_ray.data.sources import additions, free_ids, homes, pictures, repeats
from p2i_ray.data.sources.rows import INSIDE
from p2i_ray.data.sources.slices import Slices

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.data.sources.tasks import IngestConfig, Plan

# Rows of a task: so many that the 0.2 s in which Ray Data finds that one is done count for little, also where a row
# takes milliseconds; so few that all cores are busy to the end, and that little is lost with a process.
SHARDS_A_SLICE = 4
SLICES_EACH = 4  # of each that runs at once


class Arranged(NamedTuple):
    """A source's rows before anything is made of them."""

    new: pa.Table  # in the order in which samples are made, with their number as `row`
    changed: pa.Table  # lines of rows that are in a split already, see additions.changed
    there: int  # number of those
    aside: pa.Table  # rows that can't be used, as schema.REJECTED_SCHEMA


class Settled(NamedTuple):
    """Outcomes of the rows that tasks have made samples of."""

    lines: pa.Table  # of the ledger, for rows that are in a split
    samples: pa.Table  # of those: file and place of the sample, its group and its split
    aside: pa.Table  # the others, as schema.REJECTED_SCHEMA


def arrange(rows: pa.Table, before: pa.Table, seed: int) -> Arranged:
    """Divide a source's rows into those that are new, those that are there, and those that can't be used.

    Args:
        rows: as `rows.to_table` gives them.
        before: the ledger's lines.
        seed: of the order, which mixes categories and depends on it and the ids alone; archives are read one by one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    divided = additions.divide(rows, before)
    rows = free_ids.given(rows, divided.taken, before)
    order = _order(mapped_rows.where(rows.select(["id", "file", "cutout"]), divided.new), seed)
    if len(order) < rows.num_rows:
        order = numbers.look_up(np.flatnonzero(divided.new.to_numpy()), order)
    new = mapped_rows.take(rows, order).append_column("row", pa.array(numbers.upto(len(order))))
    there = mapped_rows.where(rows, divided.there)
    bad = rows.filter(pc.is_valid(rows["reason"]))
    return Arranged(new, additions.changed(there, before), there.num_rows, additions.aside(bad, bad["reason"]))


def settle(
    arranged: Arranged, report: pa.Table, before: pa.Table, *, plan: Plan, disliked: Mapping[str, str] | None = None
) -> Settled:
    """Give the products of the rows of which samples were made their splits.

    Args:
        arranged: the rows.
        report: what the tasks say of the new ones, see reports.Reports.
        before: the ledger's lines.
        plan: how products are told apart, and how large the splits are.
        disliked: why a rule sets samples aside, by their ids.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    made = mapped_rows.where(report.drop_columns(["reason"]), pc.is_null(report["reason"]))
    shown = arranged.new
    if made.num_rows < shown.num_rows:
        shown = mapped_rows.take(shown.drop_columns(["row"]), made["row"].to_numpy())
    later = []
    if disliked:
        apart = pc.is_in(shown["id"], value_set=pa.array(disliked, pa.string()))
        some = shown.filter(apart)
        reasons = text_columns.each(some["id"], lambda id: disliked[id])
        later.append(additions.aside(some, reasons))
        shown, made = (mapped_rows.where(table, pc.invert(apart)) for table in (shown, made))
    for column in ("fingerprint", "scene"):
        shown = shown.append_column(column, made[column])
    found = homes.find(shown, before, arranged.changed, settings=plan.settings, seed=plan.seed)
    apart = pc.is_valid(found["reason"])
    later.append(additions.aside(shown.filter(apart), found["reason"].filter(apart).cast(pa.string())))
    for column in ("product", "split"):
        shown = shown.append_column(column, found[column])
    kept = pc.invert(apart)
    lines = mapped_rows.where(additions.as_lines(shown), kept)
    samples = pa.table({"file": made["file"], "place": made["place"], "group": shown["product"]})
    samples = mapped_rows.where(samples.append_column("split", shown["split"]), kept)
    return Settled(lines, samples, pa.concat_tables(later))


def slices(rows: pa.Table, settings: IngestConfig, at_once: int) -> Slices:
    """The rows of each task.

    Args:
        rows: to make samples of.
        settings: have the rows of a shard.
        at_once: tasks that the cluster has room for.
    """
    even = -(-rows.num_rows // (SLICES_EACH * at_once))
    size = max(1, min(SHARDS_A_SLICE * settings.rows_per_file, even))
    return Slices(-(-rows.num_rows // size), lambda number: rows.slice(number * size, size).combine_chunks())


def shards(samples: pa.Table, settings: IngestConfig) -> Slices:
    """The samples of each final shard, in an order that mixes categories."""
    import pyarrow as pa

    size = settings.rows_per_file
    kinds = {"split": pa.string(), "file": pa.string(), "place": pa.int32(), "group": pa.string()}
    schema = pa.schema([(name, kinds[name]) for name in samples.column_names])
    names, texts = text_columns.encode(samples["split"])
    found: list[NDArray[np.int32]] = []
    for split in SPLITS:
        places = numbers.places_of(texts.index(split).as_py(), names)
        found += [places[start : start + size] for start in range(0, len(places), size)]
    return Slices(len(found), lambda number: samples.take(pa.array(found[number])).cast(schema).combine_chunks())


def _order(rows: pa.Table, seed: int) -> NDArray[np.intp]:
    """The places of rows in the order in which samples are made."""
    import pyarrow.compute as pc

    chunks = repeats.pictures_of(rows)
    if pc.any(pc.match_substring(chunks, INSIDE)).as_py():
        chunks = text_columns.each(chunks, pictures.chunk)
    return splits.shuffled(rows["id"], seed, chunks)
