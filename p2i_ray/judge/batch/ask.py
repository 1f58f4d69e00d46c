"""A dataset through the judge: check the rows, look them up in the cache, ask for the others.

Every id that goes in comes out once: judged, or with an error that says why not. Rows that can't be asked about never
reach an engine. One Ray Data task does it all for a block of rows, so that nothing is copied on the way; what limits
the tasks is how many rows the engines can have waiting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from p2i_ray.cluster.resources import ASK
from p2i_ray.config import ImageConfig
from p2i_ray.data.images import ImageError
from p2i_ray.judge.batch.cache import AnswerCache
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.judge.requests.preprocess import fit
from p2i_ray.judge.requests.tasks import JudgeTask, clean_name
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    import ray.data

GROUP = 64  # rows a request: what a request costs beside the engine is more than a small engine's row
BLOCK = 256  # rows a task, less than twice that: small enough to stream, large enough to keep files few
KEEP_EVERY_S = 15.0  # between the cache's files of one task
CACHED = "cached"  # column: the answer was there already


@dataclass(frozen=True)
class AskContext:
    """What every task is told.

    Attributes:
        asker: what to ask and how to read it.
        application, deployment: where the engines are.
        limits: of pictures.
        max_name_chars: names are cut after this many characters.
        cache: answers already paid for (none: all rows are asked about).
    """

    asker: JudgeTask
    application: str
    deployment: str
    limits: ImageConfig
    max_name_chars: int
    cache: AnswerCache | None


def ask(rows: ray.data.Dataset, asking: AskContext, in_flight: int) -> ray.data.Dataset:
    """Ask about every row.

    Args:
        rows: columns id, name and image (a struct with bytes).
        asking: see there.
        in_flight: rows that all engines together compute at once.

    Returns:
        The columns of the asker's schema and CACHED, lazily; `error` is null where the row was judged.
    """
    from ray.data import TaskPoolStrategy

    tasks = 1 + math.ceil(2 * in_flight / BLOCK)  # while one prepares or writes, the others' rows keep engines busy
    return (
        rows.select_columns(["id", "name", "image"])
        .repartition(target_num_rows_per_block=BLOCK)
        .map_batches(
            _ask_block, fn_args=(asking,), batch_format="pyarrow", batch_size=BLOCK, num_cpus=ASK.cpus,
            compute=TaskPoolStrategy(size=tasks),
        )
    )  # fmt: skip


def ask_file(location: str, asking: AskContext) -> int:
    """Ask about the rows of a Parquet file, for the cache alone; returns how many were not in it."""
    folder, _, name = location.rpartition("/")
    rows = parquet.read_parquet(folder, [name], ["id", "name", "image"])
    return sum(not cached for cached in _ask_block(rows, asking)[CACHED].to_pylist())


def _ask_block(block: pa.Table, asking: AskContext) -> pa.Table:
    """The rows' answers, in order."""
    rows = block.to_pylist()
    answers: dict[int, dict[str, Any]] = {}
    samples: dict[int, Sample] = {}
    for i, row in enumerate(rows):
        try:
            samples[i] = _sample(row, asking)
        except ImageError as reason:
            answers[i] = {"error": str(reason)}
    answers |= _answers(samples, asking)
    schema = asking.asker.schema.append(pa.field(CACHED, pa.bool_()))
    empty = {**dict.fromkeys(schema.names), CACHED: False}
    return pa.Table.from_pylist([{**empty, **answers[i], "id": row["id"]} for i, row in enumerate(rows)], schema=schema)


def _answers(samples: dict[int, Sample], asking: AskContext) -> dict[int, dict[str, Any]]:
    """Every sample's answer: from the cache, else from the engines and from then on in the cache."""
    cache = asking.cache
    if cache is None:
        return dict(_ask_engines(samples, asking))
    keys = {i: cache.key(*sample) for i, sample in samples.items()}
    known = dict(zip(samples, cache.find(list(keys.values())), strict=True))
    asked: dict[int, dict[str, Any]] = {}
    new: list[int] = []  # not in the cache yet

    def keep() -> None:
        cache.add([keys[i] for i in new], [asked[i] for i in new])
        new.clear()

    kept = time.monotonic()
    try:
        for i, answer in _ask_engines({i: samples[i] for i in samples if known[i] is None}, asking):
            asked[i] = answer
            new.append(i)
            if time.monotonic() - kept > KEEP_EVERY_S:  # a slow or dear judge's answers don't wait for the last
                keep()
                kept = time.monotonic()
    finally:  # also where the job ends in the middle: these were paid for
        keep()
    return {i: {**answer, CACHED: True} for i, answer in known.items() if answer is not None} | asked


def _sample(row: dict[str, Any], asking: AskContext) -> Sample:
    name = clean_name(row["name"], asking.max_name_chars)
    if not name:
        raise ImageError("the product has no name")
    return Sample(name, fit((row["image"] or {}).get("bytes"), asking.limits))


def _ask_engines(samples: dict[int, Sample], asking: AskContext) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each sample's place and answer, as they come."""
    if not samples:
        return
    from ray import serve

    from p2i_ray.judge.batch.retry import ask_with_retry

    handle = serve.get_deployment_handle(asking.deployment, asking.application)
    places = list(samples)
    for start, answers in ask_with_retry(handle, asking.asker, list(samples.values()), GROUP):
        yield from zip(places[start : start + GROUP], answers, strict=True)
