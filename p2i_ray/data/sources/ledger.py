"""The ledger of a source's rows: kept beside the data, so that the same command adds the rows that are new.

<out>/ingested/part-*.parquet   a line for each row that is in a split, a file for each ingestion
                                and each 100,000 rows of it
<out>/ingested/settings.json    the settings that rows which are added must share
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.config.shapes import SQUARE
from p2i_ray.data import mapped_rows, writing
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations, parquet, spilled

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.data.sources.tasks import Plan

FOLDER = "ingested"
SETTINGS = "settings.json"
LINES_PER_FILE = 100_000  # a file is made in memory
LINES_PER_GROUP = 10_000  # lines are short, and a group of a file takes some kB of memory to write and to read
FROM_SOURCE = ("id", "file", "mask", "cutout", "group", "name", "category")
BESIDE = ("mask", "cutout")  # empty: the row had none; null: an earlier version didn't note it


def schema() -> pa.Schema:
    """The row as the source has it, its picture's fingerprint, whether it has a scene, its product and its split."""
    import pyarrow as pa

    found = [("fingerprint", pa.binary()), ("scene", pa.bool_()), ("product", pa.string()), ("split", pa.string())]
    return pa.schema([*((name, pa.string()) for name in FROM_SOURCE), *found])


def is_there(out: str) -> bool:
    """Whether a folder has a ledger: rows can be added to it."""
    return locations.exists(locations.join(out, FOLDER, SETTINGS))


def read(out: str) -> pa.Table:
    """The lines of all ingestions into a folder by their ids, mapped; none if there was none."""
    import pyarrow.compute as pc

    folder = locations.join(out, FOLDER)
    files = folders.names(folder, ".parquet")
    lines = spilled.table((_whole(parquet.read_parquet(folder, [file])) for file in files), schema())
    order = pc.sort_indices(lines.select(["id"]), sort_keys=[("id", "ascending")])
    return mapped_rows.take(lines, order.to_numpy())


def write(lines: pa.Table, plan: Plan, building: str) -> list[str]:
    """Write an ingestion's lines and settings into the folder of what isn't finished; returns the files' names.

    Args:
        lines: as additions.as_lines gives them.
        plan: has the settings.
        building: folder of what isn't finished.
    """
    folder = locations.join(building, FOLDER)
    files = (lines.slice(start, LINES_PER_FILE) for start in range(0, lines.num_rows, LINES_PER_FILE))
    shards = [writing.write_groups(_groups(some), folder, schema()) for some in files]
    locations.write_text(locations.join(folder, SETTINGS), json.dumps(_settings(plan), indent=1, sort_keys=True))
    return [*shards, SETTINGS]


def check(plan: Plan) -> None:
    """Check that rows can be added to the data in `plan.out`, which has a ledger.

    Raises:
        UserError: it was made from another source, or with other settings that all its rows must share.
    """
    before = json.loads(locations.read_text(locations.join(plan.out, FOLDER, SETTINGS)))
    now = _settings(plan)
    for name in sorted(now.keys() | before.keys()):
        if before.get(name) != now.get(name):
            was, given = (values.get(name, "its default") for values in (before, now))
            raise UserError(
                f"out {plan.out} already holds data, made with {name}={was}, and not {given}: "
                "rows are added with the same source and settings alone; give those, or name another folder"
            )


def _whole(lines: pa.Table) -> pa.Table:
    """Lines with all columns; those of earlier versions have fewer."""
    import pyarrow as pa

    for name in schema().names:
        if name not in lines.column_names:
            lines = lines.append_column(name, pa.nulls(lines.num_rows, schema().field(name).type))
    return lines.select(schema().names).cast(schema())


def _groups(lines: pa.Table) -> Iterator[pa.Table]:
    """Lines as their schema has them, some at a time; a cast of a slice would copy all that it is of."""
    for start in range(0, lines.num_rows, LINES_PER_GROUP):
        places = np.arange(start, min(start + LINES_PER_GROUP, lines.num_rows))
        yield mapped_rows.some(lines, places).cast(schema())


def _settings(plan: Plan) -> dict[str, Any]:
    """Settings that decide about ids, products, splits and sizes, by their names."""
    settings = plan.settings.model_dump(mode="json")
    groups, split = (
        {f"ingest.{part}.{name}": value for name, value in settings[part].items()} for part in ("groups", "split")
    )
    duplicates = {"ingest.cleaning.near_duplicates": settings["cleaning"]["near_duplicates"]}
    others = {"source": plan.source, "seed": plan.seed, "image.resolution": plan.image.resolution}
    if plan.image.aspect_ratios != (SQUARE,):
        others |= {"image.aspect_ratios": list(plan.image.aspect_ratios), "image.size_step": plan.image.size_step}
    return {**groups, **split, **duplicates, **others}
