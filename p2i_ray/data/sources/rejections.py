"""Rows that an ingestion sets aside: by its tasks, by a rule that looks at finished samples, and in what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from p2i_ray.data import rejected, text_columns, writing
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA
from p2i_ray.data.sources import tasks
from p2i_ray.data.sources.advice import advice
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa


class JudgeSamples(Protocol):
    """A rule that looks at finished samples, all in one pass."""

    def __call__(self, samples: str, files: Sequence[str], *, work: str, photos: int) -> Mapping[str, str]:
        """Reasons for setting rows aside, by their ids.

        Args:
            samples: folder of the samples' files, as schema.MADE; rows without a scene among them don't count.
            files: their names.
            work: folder for what the rule needs; it is removed later.
            photos: the number of rows with a scene.
        """
        ...


def of_tasks(report: pa.Table, building: str) -> pa.Table:
    """The rows that tasks have set aside, by their report."""
    import pyarrow as pa
    import pyarrow.compute as pc

    files = _files(report["file"].filter(pc.is_valid(report["reason"])))
    none = REJECTED_SCHEMA.empty_table()
    return pa.concat_tables([none, parquet.read_parquet(locations.join(building, REJECTED), files)]) if files else none


def judged(made: pa.Table, building: str, judging: JudgeSamples | None) -> Mapping[str, str]:
    """Reasons why the rule sets samples aside, by their ids; nothing is asked where there is no rule, or no scene.

    Args:
        made: lines of the tasks' report, of rows that became samples.
        building: folder of what isn't finished.
        judging: the rule.
    """
    scenes = made["file"].filter(made["scene"])
    if judging is None or not len(scenes):
        return {}
    files, work = _files(scenes), locations.join(building, "judged")
    return judging(locations.join(building, tasks.SAMPLES), files, work=work, photos=len(scenes))


def write(table: pa.Table, folder: str) -> list[str]:
    """Write all rows that are set aside as one file, and as a list for spreadsheets; returns the files' names."""
    if not table.num_rows:
        return []
    listed = table.append_column("what to do", text_columns.each(table["reason"], advice))
    locations.write_bytes(locations.join(folder, rejected.NAME), rejected.to_csv(listed))
    return [writing.write_shard(table, folder, REJECTED_SCHEMA), rejected.NAME]


def _files(column: pa.ChunkedArray) -> list[str]:
    """The files of rows, each once, sorted."""
    return sorted(column.unique().to_pylist())
