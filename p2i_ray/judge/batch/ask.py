"""A dataset through the judge: check the rows, look them up in the cache, ask the engines about the others.

Every id that goes in comes out once: judged, or with an error that gives the reason. Rows that can't be judged never
reach an engine. One Ray Data task does all of it for a block of rows, so that nothing is copied between stages; the
number of tasks is limited by how many rows the engines can have waiting.
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
from p2i_ray.data.images import ImageError, encoded, has_picture
from p2i_ray.judge.batch.cache import AnswerCache
from p2i_ray.judge.requests.answers import Sample
from p2i_ray.judge.requests.preprocess import fit
from p2i_ray.judge.requests.tasks import JudgeTask, clean_name
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    import ray.data

GROUP = 64  # rows per Serve request: with fewer, the overhead of a request exceeds a small engine's time per row
BLOCK = 256  # rows per task; small enough to stream, large enough to keep the number of files low
FLUSH_INTERVAL_S = 15.0  # between two cache files of one task
CACHED = "cached"  # column: the answer came from the cache


@dataclass(frozen=True)
class AskContext:
    """The arguments of each Ray Data task besides its rows.

    Attributes:
        task: the requests to make and how to read the replies.
        application: name of the engines' Serve application.
        deployment: name of their deployment in it.
        limits: limits of pictures.
        max_name_chars: names are cut after this many characters.
        columns: of the rows: id, name and image; cutout where that is shown.
        cache: answers of earlier requests (none: every row is a request).
    """

    task: JudgeTask
    application: str
    deployment: str
    limits: ImageConfig
    max_name_chars: int
    columns: list[str]
    cache: AnswerCache | None


def ask(rows: ray.data.Dataset, context: AskContext, in_flight: int) -> ray.data.Dataset:
    """Ask about every row.

    Args:
        rows: the context's columns; image and cutout are structs with bytes.
        context: see there.
        in_flight: rows that all engines together process at once.

    Returns:
        The columns of the task's schema and CACHED, lazily; `error` is null where the row was judged.
    """
    from ray.data import TaskPoolStrategy

    tasks = 1 + math.ceil(2 * in_flight / BLOCK)  # while one prepares or writes, the others keep the engines busy
    blocks = rows.select_columns(context.columns).repartition(target_num_rows_per_block=BLOCK)
    return blocks.map_batches(
        _ask_block,  # type: ignore[arg-type]  # Ray types no function that takes fn_args
        fn_args=(context,),
        batch_format="pyarrow",
        batch_size=BLOCK,
        **ASK.task_options(),
        compute=TaskPoolStrategy(size=tasks),
    )


def ask_file(location: str, context: AskContext) -> int:
    """Ask about the rows of a Parquet file only to fill the cache; returns how many were not in it."""
    folder, _, name = location.rpartition("/")
    rows = parquet.read_parquet(folder, [name], context.columns)
    return sum(not cached for cached in _ask_block(rows, context)[CACHED].to_pylist())


def _ask_block(block: pa.Table, context: AskContext) -> pa.Table:
    """The rows' answers, in the rows' order."""
    rows = block.to_pylist()
    answers: dict[int, dict[str, Any]] = {}
    samples: dict[int, Sample] = {}
    for i, row in enumerate(rows):
        try:
            samples[i] = _sample(row, context)
        except ImageError as error:
            answers[i] = {"error": str(error)}
    answers |= _answers(samples, context)
    schema = context.task.schema.append(pa.field(CACHED, pa.bool_()))
    empty = {**dict.fromkeys(schema.names), CACHED: False}
    return pa.Table.from_pylist([{**empty, **answers[i], "id": row["id"]} for i, row in enumerate(rows)], schema=schema)


def _answers(samples: dict[int, Sample], context: AskContext) -> dict[int, dict[str, Any]]:
    """The answer of every sample by its index: from the cache, else from the engines, which also adds it to the cache.

    Args:
        samples: by index in the block.
        context: see there.
    """
    cache = context.cache
    if cache is None:
        return dict(_ask_engines(samples, context))
    keys = {i: cache.key(*sample) for i, sample in samples.items()}
    known = dict(zip(samples, cache.find(list(keys.values())), strict=True))
    answers: dict[int, dict[str, Any]] = {}
    unsaved: list[int] = []

    def flush() -> None:
        cache.add([keys[i] for i in unsaved], [answers[i] for i in unsaved])
        unsaved.clear()

    flushed = time.monotonic()
    try:
        for i, answer in _ask_engines({i: samples[i] for i in samples if known[i] is None}, context):
            answers[i] = answer
            unsaved.append(i)
            if time.monotonic() - flushed > FLUSH_INTERVAL_S:  # a slow or costly judge: save before the last answer
                flush()
                flushed = time.monotonic()
    finally:  # also where an error ends the job: these answers have been paid for
        flush()
    return {i: {**answer, CACHED: True} for i, answer in known.items() if answer is not None} | answers


def _sample(row: dict[str, Any], context: AskContext) -> Sample:
    name = clean_name(row["name"], context.max_name_chars)
    if not name:
        raise ImageError("the product has no name")
    if not has_picture(row["image"]):
        raise ImageError("no picture: image is null, so there is nothing to judge")
    picture = fit(encoded(row["image"]), context.limits)
    shown = row.get("cutout")  # null: a row of the calibration, whose picture is another product's
    return Sample(name, picture, fit(encoded(shown), context.limits) if shown else None)


def _ask_engines(samples: dict[int, Sample], context: AskContext) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each sample's index and answer, as they arrive."""
    if not samples:
        return
    from ray import serve

    from p2i_ray.judge.batch.retry import ask_with_retry

    handle = serve.get_deployment_handle(context.deployment, context.application)
    indices = list(samples)
    for start, answers in ask_with_retry(handle, context.task, list(samples.values()), GROUP):
        yield from zip(indices[start : start + GROUP], answers, strict=True)
