"""What an ingestion reserves, and what it refuses before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data.sources.ingest import TASK_GIB, check, resources
from p2i_ray.data.sources.rows import Row, to_table
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.data.splits import SplitConfig
from p2i_ray.errors import UserError


def test_memory_follows_from_the_largest_picture() -> None:
    need = resources(IngestConfig(), ImageConfig(max_pixels=2**28 // 2))
    assert need.bundle.memory_gib == TASK_GIB + 1.25
    assert need.bundle.cpus == IngestConfig().num_cpus


def test_settings_are_checked_against_the_rows_that_can_be_used(tmp_path: Path) -> None:
    rows = to_table([Row("a.png", "Mug", "Cup"), Row("b.png", "Mug", "Bag", reason="ambiguous file: two")])
    for split, says in ((SplitConfig(unseen=("Bag",)), "no row has it"), (SplitConfig(validation=1), "none of 1 rows")):
        plan = Plan(
            str(tmp_path), str(tmp_path / "out"), settings=IngestConfig(split=split), image=ImageConfig(), seed=0
        )
        with pytest.raises(UserError, match=says):
            check(rows, plan)
