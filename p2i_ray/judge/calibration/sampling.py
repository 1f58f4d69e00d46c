"""Selection of a calibration's rows from a dataset of any size: the driver sees ids and names, never pictures."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.config import ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.judge.calibration import sanity

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

LIGHT: dict[str, Any] = ResourceSpec(cpus=0.1).task_options()  # of tasks beside running engines
IDS_PER_BATCH = 4096  # rows without pictures


def scan(
    rows: ray.data.Dataset, number: int, seed: int, gold: Collection[str]
) -> tuple[list[sanity.Sampled], list[str]]:
    """Draw a sample and find the rows that people have scored: one pass, without pictures.

    Args:
        rows: columns id, name, category.
        number: rows of the sample; fewer if there are fewer.
        seed: decides, together with the ids alone, which rows are in the sample and their order.
        gold: ids with a gold score.

    Returns:
        The sample, and those ids of gold that are among the rows.
    """
    import pyarrow as pa

    candidates = rows.select_columns(["id", "name", "category"]).map_batches(
        _candidates,  # type: ignore[arg-type]  # Ray types no function that takes fn_kwargs
        fn_kwargs={"number": number, "seed": seed, "gold": pa.array(sorted(gold), pa.string())},
        batch_format="pyarrow",
        batch_size=IDS_PER_BATCH,
        **LIGHT,
    )
    lowest: list[tuple[int, str, sanity.Sampled]] = []
    matched: list[str] = []
    for batch in candidates.iter_batches(batch_size=None, batch_format="pyarrow"):
        found = cast("pa.Table", batch).to_pylist()
        matched += [row["id"] for row in found if row["has_gold"]]
        hashed = [
            (row["hash"], row["id"], sanity.Sampled(row["id"], row["name"] or "", row["category"] or ""))
            for row in found
        ]
        lowest = heapq.nsmallest(number, [*lowest, *hashed])
    return [row for *_, row in lowest], sorted(matched)


def _candidates(batch: pa.Table, number: int, seed: int, gold: pa.Array) -> pa.Table:
    """The rows of a batch with gold, and those that may be in the sample: the `number` with the lowest hashes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hashes = np.array([seed_for(seed, "calibrate", id_) for id_ in batch["id"].to_pylist()], np.int64)
    has_gold = pc.is_in(batch["id"], value_set=gold)
    selected = has_gold.to_numpy(zero_copy_only=False).astype(bool)
    selected[np.argsort(hashes, kind="stable")[:number]] = True
    columns = {name: batch[name].cast(pa.string()) for name in ("id", "name", "category")}
    return pa.table({**columns, "hash": hashes, "has_gold": has_gold}).filter(pa.array(selected))


def only(rows: ray.data.Dataset, ids: Collection[str], columns: Sequence[str]) -> ray.data.Dataset:
    """These columns of the rows with these ids."""
    import pyarrow as pa

    kept = pa.array(sorted(ids), pa.string())
    return rows.select_columns(list(columns)).map_batches(
        _with_ids,  # type: ignore[arg-type]  # as above
        fn_kwargs={"ids": kept},
        batch_format="pyarrow",
        batch_size=None,
        **LIGHT,
    )


def _with_ids(batch: pa.Table, ids: pa.Array) -> pa.Table:
    import pyarrow.compute as pc

    return batch.filter(pc.is_in(batch["id"], value_set=ids))


def varied(
    rows: ray.data.Dataset,
    sample: Sequence[sanity.Sampled],
    *,
    columns: Sequence[str],
    image: ImageConfig,
    max_name_chars: int,
) -> ray.data.Dataset:
    """Every row of the sample, unchanged and in all its variations."""
    return only(rows, [row.id for row in sample], columns).flat_map(
        _variations,  # type: ignore[arg-type]  # as above
        fn_args=(sanity.plans(sample), image, max_name_chars),
        **LIGHT,
    )


def _variations(
    row: dict[str, Any], plans: dict[str, sanity.Plan], image: ImageConfig, max_name_chars: int
) -> list[dict[str, Any]]:
    return sanity.varied(row, plans[row["id"]], image, max_name_chars)
