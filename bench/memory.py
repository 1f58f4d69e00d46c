"""Does the driver's memory stay flat, whatever the number of rows? Scoring with a stub in the engine's place.

The rows are made by Ray's workers, so that nothing but the product's own work is on the driver.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import psutil
import pyarrow as pa

from p2i_ray.cluster import connection
from p2i_ray.config import Config, load
from p2i_ray.judge.requests.answers import Asked, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

FEW, MANY = 3_000, 300_000


class Stub:
    """An engine that gives every sample a 4."""

    def __init__(self, **_: Any) -> None: ...

    async def ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Answer every sample."""
        return await parse_replies(task, [Asked(task.request(*one), self._reply()) for one in samples], self.reply)

    async def reply(self, request: ChatRequest) -> Reply:
        """Reply to one request."""
        return await self._reply()

    async def _reply(self) -> Reply:
        return Reply("4", False, Step("4", [("4", -0.1), ("5", -2.4)]))


def run() -> dict[str, float]:
    """The driver's memory after few and after many rows, MB, and rows a second of everything but an engine."""
    import ray

    from p2i_ray.judge.judge import Judge

    config = load(Config, "mini")
    connection.connect(config.ray)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as out, Judge(config.judge, config.image, engine=Stub) as judge:
        for number in (FEW, FEW, MANY):  # twice few: what a first dataset loads is not what rows cost
            dataset = ray.data.range(number, override_num_blocks=max(4, number // 1000)).map_batches(
                _rows, batch_format="pyarrow", num_cpus=0.1
            )
            start = time.perf_counter()
            written = judge.score(dataset, f"{out}/{number}-{len(found)}")
            assert written.rows == number and not written.set_aside
            used = psutil.Process().memory_full_info().uss / 1e6
            found[f"judge_driver_mb_{number // 1000}k_rows"] = used
            found["judge_stub_rows_per_s"] = number / (time.perf_counter() - start)
    ray.shutdown()
    return found


def _rows(batch: pa.Table) -> pa.Table:
    from p2i_ray.data.images import encode_png
    from p2i_ray.data.schema import IMAGE
    from p2i_ray.mini.world import render

    picture = {"bytes": encode_png(render(1, 0).image), "path": ""}
    count = batch.num_rows
    columns = {
        "id": pa.array([f"row-{i}" for i in batch["id"].to_pylist()]),
        "name": pa.array(["mug"] * count),
        "image": pa.array([picture] * count, IMAGE),
    }
    return pa.table(columns)
