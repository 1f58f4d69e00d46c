"""A dataset through the judge: check the rows, ask the engines with ray.data.llm, read the replies.

Every id that goes in comes out once: judged, or with an error that says why not. Rows that can't be asked never
reach an engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from p2i_ray.config import ImageConfig
from p2i_ray.epbd.images import ImageError
from p2i_ray.lmm.engine import PACKED, pack, unpack
from p2i_ray.lmm.pictures import fit
from p2i_ray.lmm.questions import Asker, clean_name
from p2i_ray.lmm.replies import ReplyError

if TYPE_CHECKING:
    import ray.data

GROUP = 16  # rows a request: what a request costs beside the engine is more than a small engine's row
BLOCK = 8 * GROUP  # rows: small enough to stream
BATCH = 4  # requests that a stage actor sends together; it keeps four such batches of a block on the way
PATIENCE_S = 7200.0  # for one request, waiting included: engines that never come back must not hang a job
FRACTION = 0.1  # logical CPUs of what only waits or decodes small pictures
FAILED = "__inference_error__"  # ray.data.llm lets what has this set pass by the engine
GROUPS = pa.schema(
    [
        ("ids", pa.list_(pa.string())),
        ("errors", pa.list_(pa.string())),  # why a row isn't asked about; empty: it is
        ("method", pa.string()),
        ("request_kwargs", pa.struct([("questions", pa.list_(PACKED))])),  # of the rows without an error, in order
        (FAILED, pa.string()),
    ]
)


def ask(
    rows: ray.data.Dataset,
    asker: Asker,
    application: str,
    deployment: str,
    replicas: int,
    limits: ImageConfig,
    max_name_chars: int,
) -> ray.data.Dataset:
    """Ask about every row.

    Args:
        rows: columns id, name and image (a struct with bytes).
        asker: what to ask and how to read it.
        application, deployment: where the engines are.
        replicas: engines behind it.
        limits: of pictures.
        max_name_chars: names are cut after this many characters.

    Returns:
        The columns of asker.schema, lazily; `error` is null where the row was judged.
    """
    from ray.data.llm import ServeDeploymentProcessorConfig, build_processor

    from p2i_ray.lmm.patience import make_patient

    config = ServeDeploymentProcessorConfig(
        deployment_name=deployment,
        app_name=application,
        batch_size=BATCH,
        concurrency=replicas,
        should_continue_on_error=True,
        request_timeout_s=PATIENCE_S,
    )
    light = {"num_cpus": FRACTION}
    processor = build_processor(config, preprocess_map_kwargs=light, postprocess_map_kwargs=light)
    make_patient(processor, num_cpus=FRACTION)
    groups = (
        rows.select_columns(["id", "name", "image"])
        .repartition(target_num_rows_per_block=BLOCK)
        .map_batches(_group, fn_args=(asker, limits, max_name_chars), batch_format="pyarrow", batch_size=GROUP, **light)
    )
    return processor(groups).flat_map(_answers, fn_args=(asker,), **light)


def _group(batch: pa.Table, asker: Asker, limits: ImageConfig, max_name_chars: int) -> pa.Table:
    """Some rows as one request."""
    ids, errors, questions = [], [], []
    for row in batch.to_pylist():
        ids.append(row["id"])
        try:
            questions.append(_question(row, asker, limits, max_name_chars))
            errors.append("")
        except ImageError as reason:
            errors.append(str(reason))
    group = {
        "ids": ids,
        "errors": errors,
        "method": "ask",
        "request_kwargs": {"questions": questions},
        FAILED: "" if questions else "no row of the group can be asked about",
    }
    return pa.Table.from_pylist([group] if ids else [], schema=GROUPS)


def _question(row: dict[str, Any], asker: Asker, limits: ImageConfig, max_name_chars: int) -> dict[str, Any]:
    name = clean_name(row["name"], max_name_chars)
    if not name:
        raise ImageError("the product has no name")
    return pack(asker.question(name, fit((row["image"] or {}).get("bytes"), limits)))


def _answers(group: dict[str, Any], asker: Asker) -> list[dict[str, Any]]:
    """A request's replies as rows."""
    failed = group[FAILED]  # of the whole request, where there were questions
    replies = iter([] if failed else group["replies"])
    return [
        _answer(row_id, error or failed, replies, asker)
        for row_id, error in zip(group["ids"], group["errors"], strict=True)
    ]


def _answer(row_id: str, error: str | None, replies: Iterator[dict[str, Any]], asker: Asker) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(asker.schema.names)
    if not error:
        reply, error = unpack(next(replies))
        if reply is not None:
            try:
                columns.update(asker.columns(reply))
            except ReplyError as reason:
                error = str(reason)
    return {**columns, "id": row_id, "error": error}
