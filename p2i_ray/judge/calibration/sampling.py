"""The rows that a calibration needs, out of a dataset of any size: the driver sees ids and names, never pictures."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.config import ImageConfig
from p2i_ray.judge.calibration import sanity
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

LIGHT = {"num_cpus": 0.1}  # what picking ids and drawing banners reserves beside a warm judge
IDS_AT_ONCE = 4096  # rows of one task's batch, without pictures


def scan(
    rows: ray.data.Dataset, number: int, seed: int, gold: Collection[str]
) -> tuple[list[sanity.Sampled], list[str]]:
    """Draw a sample and find the rows that people have scored: one pass, without pictures.

    Args:
        rows: columns id, name, category.
        number: rows of the sample; fewer if there are fewer.
        seed: decides, with the ids alone, which rows they are and in which order they come.
        gold: ids.

    Returns:
        The sample, and those ids of gold that are among the rows.
    """
    import pyarrow as pa

    picked = rows.select_columns(["id", "name", "category"]).map_batches(
        _pick, fn_kwargs={"number": number, "seed": seed, "gold": pa.array(sorted(gold), pa.string())},
        batch_format="pyarrow", batch_size=IDS_AT_ONCE, **LIGHT,
    )  # fmt: skip
    lowest: list[tuple[int, str, sanity.Sampled]] = []
    matched: list[str] = []
    for batch in picked.iter_batches(batch_size=None, batch_format="pyarrow"):
        found = batch.to_pylist()
        matched += [row["id"] for row in found if row["has_gold"]]
        hashed = [
            (row["hash"], row["id"], sanity.Sampled(row["id"], row["name"] or "", row["category"] or ""))
            for row in found
        ]
        lowest = heapq.nsmallest(number, [*lowest, *hashed])
    return [row for *_, row in lowest], sorted(matched)


def _pick(batch: pa.Table, number: int, seed: int, gold: pa.Array) -> pa.Table:
    """Of a batch, the rows with gold, and those that can be in the sample: the `number` of lowest hashes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hashes = np.array([locations.seed_for(seed, "calibrate", id_) for id_ in batch["id"].to_pylist()], np.int64)
    has_gold = pc.is_in(batch["id"], value_set=gold)
    wanted = has_gold.to_numpy(zero_copy_only=False).astype(bool)
    wanted[np.argsort(hashes, kind="stable")[:number]] = True
    columns = {name: batch[name].cast(pa.string()) for name in ("id", "name", "category")}
    return pa.table({**columns, "hash": hashes, "has_gold": has_gold}).filter(pa.array(wanted))


def only(rows: ray.data.Dataset, ids: Collection[str]) -> ray.data.Dataset:
    """The rows with these ids."""
    import pyarrow as pa

    listed = pa.array(sorted(ids), pa.string())
    return rows.select_columns(["id", "name", "image"]).map_batches(
        _listed, fn_kwargs={"ids": listed}, batch_format="pyarrow", batch_size=None, **LIGHT
    )


def _listed(batch: pa.Table, ids: pa.Array) -> pa.Table:
    import pyarrow.compute as pc

    return batch.filter(pc.is_in(batch["id"], value_set=ids))


def varied(
    rows: ray.data.Dataset, sample: Sequence[sanity.Sampled], image: ImageConfig, max_name_chars: int
) -> ray.data.Dataset:
    """Every row of the sample as it is and in all its variations."""
    return only(rows, [row.id for row in sample]).flat_map(
        _variations, fn_args=(sanity.plans(sample), image, max_name_chars), **LIGHT
    )


def _variations(
    row: dict[str, Any], plans: dict[str, sanity.Plan], image: ImageConfig, max_name_chars: int
) -> list[dict[str, Any]]:
    return sanity.varied(row, plans[row["id"]], image, max_name_chars)
