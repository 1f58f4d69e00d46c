"""The stream of rows: every worker gets its part of every global batch, in an order that the seed decides alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.training import ingest, rows
from p2i_ray.diffusion.training.ingest import SampleSchedule, ScheduledIngest
from tests.support.make_features import make_features

ROWS, BATCH, STEPS = 20, 12, 70  # more steps than a block has; epochs end within batches


@pytest.fixture(scope="module")
def features(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> FeatureIndex:
    return make_features(tmp_path_factory.mktemp("ingest") / "rows", tiny_painter, count=ROWS, resolution=16)


def schedule_of(features: FeatureIndex, note: Path, seed: int = 5) -> SampleSchedule:
    return SampleSchedule(
        features=features, keep=None, seed=seed, batch=BATCH, steps=STEPS, row_bytes=100, note=str(note)
    )


def streamed(schedule: SampleSchedule, workers: int) -> list[list[pa.Table]]:
    """What each worker gets, batch by batch."""
    shards = ScheduledIngest(schedule).configure(ingest.placeholder(), workers, None, None)
    taken: list[list[pa.Table]] = [[] for _ in range(workers)]

    def take(worker: int) -> None:
        stream = shards[worker][ingest.DATASET]
        for batch in stream.iter_batches(batch_size=BATCH // workers, batch_format="pyarrow", prefetch_batches=2):
            taken[worker].append(batch)

    threads = [threading.Thread(target=take, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


@pytest.mark.parametrize(("workers", "first"), [(1, 0), (2, 0), (3, 37)])
def test_workers_share_each_global_batch(
    ray_cluster: None, features: FeatureIndex, tmp_path: Path, workers: int, first: int
) -> None:
    schedule = schedule_of(features, tmp_path / "from")
    schedule.start_from(first)
    taken = streamed(schedule, workers)
    share, order = BATCH // workers, rows.BatchOrder(5, [np.arange(ROWS)], BATCH)
    for worker, batches in enumerate(taken):
        assert len(batches) == STEPS - first
        for step, batch in enumerate(batches, first):
            expected = order.of_step(step)[worker * share : (worker + 1) * share]
            assert batch["number"].to_pylist() == expected
            assert batch["id"].to_pylist() == [f"row-{number:03}" for number in expected]
            assert set(batch["step"].to_pylist()) == {step}
            assert batch["position"].to_pylist() == list(range(worker * share, (worker + 1) * share))


def test_blocks_are_small_and_as_long_for_every_worker(
    ray_cluster: None, features: FeatureIndex, tmp_path: Path
) -> None:
    """At 400 kB a row, 12 rows a step and three workers a block of 16 MiB holds 10 steps: 4 rows each, 40 rows."""
    schedule = SampleSchedule(
        features=features,
        keep=None,
        seed=5,
        batch=BATCH,
        steps=STEPS,
        row_bytes=400_000,
        note=str(tmp_path / "from"),
    )
    counts = [bundle.num_rows() for bundle in ingest.blocks(schedule, 3, 0).iter_internal_ref_bundles()]
    assert counts == [40] * 21  # 7 blocks of 10 steps each for 3 workers


def test_ids_of_numbers(features: FeatureIndex, tmp_path: Path) -> None:
    import torch

    found = schedule_of(features, tmp_path / "from").ids(torch.tensor([[3, 0], [19, 3]]))
    assert found == ["row-003", "row-000", "row-019", "row-003"]
