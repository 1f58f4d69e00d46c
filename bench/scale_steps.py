"""The steps that touch all rows, each in a process of its own: `python -m bench.scale_steps STEP FOLDER ROWS`.

FOLDER holds, for each number of rows, what the step reads. A step first runs on few rows, which loads libraries and
starts Ray; then on all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench import children
from p2i_ray.config import Config, load
from p2i_ray.data import reading
from p2i_ray.data.schema import SCHEMA
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.features.index import ids as train_ids
from p2i_ray.diffusion.features.schema import PLAIN
from p2i_ray.judge.batch.ask import BLOCK
from p2i_ray.judge.batch.cache import AnswerIndex
from p2i_ray.judge.requests.tasks import SCORES
from p2i_ray.storage import content_cache, parquet

FEW = 1024  # rows of the first call
FILE_ROWS, ROW_GROUP = 128, 32  # of a data file, as ingest writes them
INDEX_ROWS = 256  # of a file of the features' index
KEEP_EVERY = 2


def write_inputs(folder: Path, rows: int) -> dict[str, int]:
    """Write what the steps read, without pictures; returns the number of files of each kind.

    The answers of a cache are written as the tasks do: one file for each block.
    """
    home = folder / str(rows)
    data = home / "data" / "train"
    for kind in (data, home / "index", home / "cache", home / "scores"):
        kind.mkdir(parents=True)
    for start, ids in _chunks(rows, FILE_ROWS):
        empty = [{"bytes": b"", "path": ""}] * len(ids)
        columns = [ids, ["mug"] * len(ids), ["Cup"] * len(ids), empty, empty]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
        pq.write_table(table, data / f"part-{start:010}.parquet", row_group_size=ROW_GROUP)
    for start, ids in _chunks(rows, INDEX_ROWS):
        keys = [content_cache.key_of(id_.encode()) for id_ in ids]
        shard = [f"part-{start:010}.parquet"] * len(ids)
        entries = [ids, ["mug"] * len(ids), keys, shard, ["512x512"] * len(ids), [None] * len(ids)]
        table = pa.table([pa.array(c, f.type) for c, f in zip(entries, PLAIN.index, strict=True)], schema=PLAIN.index)
        pq.write_table(table, home / "index" / f"part-{start:010}.parquet")
    for start, ids in _chunks(rows, BLOCK):
        answers = answer(pa.array(ids))
        pq.write_table(answers, home / "scores" / f"part-{start:010}.parquet")
        keys = pa.array([content_cache.key_of(id_.encode()) for id_ in ids], content_cache.KEY)
        stored = answers.drop_columns(["id", "error"]).append_column("key", keys)
        pq.write_table(stored, home / "cache" / f"part-{start:010}.parquet")
    kept = [id_for(row) for row in range(0, rows, KEEP_EVERY)]
    pq.write_table(pa.table({"id": kept}), home / "keep.parquet")
    return {kind: len(list((home / kind).rglob("*.parquet"))) for kind in ("data", "index", "cache", "scores")}


def id_for(row: int) -> str:
    """The id of a row; neighbours in the data are none in the alphabet."""
    return f"product-{(row * 7_919_993) % 999_999_937:09}"


def answer(ids: pa.Array) -> pa.Table:
    """Scores of a judge without an engine: 1 to 5 by the id's last digits."""
    score = [1 + int(id_[-2:]) % 5 for id_ in ids.to_pylist()]
    none = [None] * len(score)
    expected = [value + int(id_[-4:]) * 1e-5 for value, id_ in zip(score, ids.to_pylist(), strict=True)]
    return pa.table([ids, score, expected, [0.5] * len(score), none, none], schema=SCORES)


def _chunks(rows: int, size: int) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, rows, size):
        yield start, [id_for(row) for row in range(start, min(start + size, rows))]


def read_ids(home: Path, rows: int) -> object:
    """The loop's memory of the data set while it encodes rows early."""
    from p2i_ray.steps.overlap.early_work import ScoredFiles

    files = reading.split_files(str(home / "data"), "train")
    return ScoredFiles({file: reading.ids_of(file) for file in files})


def read_footers(home: Path, rows: int) -> object:
    """Count the rows of a split."""
    found = reading.count(str(home / "data"), "train")
    assert found == rows
    return found


def score(home: Path, rows: int) -> object:
    """Answers from tasks of a block each into files, as the judge's are."""
    import ray.data

    blocks = ray.data.range(rows, override_num_blocks=-(-rows // BLOCK)).map_batches(
        _answer_block, batch_format="pyarrow", batch_size=BLOCK, num_cpus=0.1
    )
    written = parquet.write_parquet(blocks, str(home / "scored"), SCORES, rows_per_file=None)
    assert written.rows == rows
    return written


def _answer_block(batch: pa.Table) -> pa.Table:
    return answer(pa.array([id_for(row) for row in batch["id"].to_pylist()]))


def select(home: Path, rows: int) -> object:
    """Select by gamma."""
    return _select(home, load(Config, "mini").idr.model_copy(update={"gamma": 4}))


def select_best(home: Path, rows: int) -> object:
    """Select the best half."""
    return _select(home, load(Config, "mini").idr.model_copy(update={"keep_fraction": 0.5}))


def _select(home: Path, settings: Any) -> object:
    from p2i_ray.run.manifests import Manifest
    from p2i_ray.steps.round import Output
    from p2i_ray.steps.selection import write_selection

    files = sorted(file.name for file in (home / "scores").iterdir())
    manifest = Manifest(step="score", round=1, seconds=0, files=files)
    return write_selection(Output(str(home / "scores"), manifest), settings, str(home / "selected.parquet"))


def keep(home: Path, rows: int) -> object:
    """Stream the rows that a list keeps, and count them."""
    found = reading.read_split(str(home / "data"), "train", keep=str(home / "keep.parquet")).count()
    assert found == -(-rows // KEEP_EVERY)
    return found


def train(home: Path, rows: int) -> object:
    """The ids that a training of the kept rows starts with."""
    files = sorted(file.name for file in (home / "index").iterdir())
    found = train_ids(FeatureIndex(str(home / "index"), files, ""), str(home / "keep.parquet"))
    assert len(found) == -(-rows // KEEP_EVERY)
    return found


def look_up(home: Path, rows: int) -> object:
    """Open a cache of the judge's answers, and find every row's, a block at a time."""
    folder = str(home / "cache")
    index = AnswerIndex(folder, content_cache.parts(folder))
    for _, ids in _chunks(rows, BLOCK):
        assert None not in index.find([content_cache.key_of(id_.encode()) for id_ in ids])
    return index


STEPS: dict[str, Callable[[Path, int], object]] = {
    "read_ids": read_ids,
    "read_footers": read_footers,
    "score": score,
    "select": select,
    "select_best": select_best,
    "keep": keep,
    "train_ids": train,
    "cache_look_up": look_up,
}
ON_RAY = ("score", "keep")


def main() -> None:
    """Run a step on few rows, then on all, and print its seconds."""
    name, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if name in ON_RAY:
        from p2i_ray.cluster import connection

        connection.connect(load(Config, "mini").ray)
    STEPS[name](folder / str(FEW), FEW)
    children.timed(lambda: STEPS[name](folder / str(rows), rows))


if __name__ == "__main__":
    main()
