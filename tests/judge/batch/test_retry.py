"""Lost engines and nodes: every id comes out once, scored or set aside with its reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from p2i_ray.config import PRESETS, ImageConfig, JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.judge.judge import Judge
from p2i_ray.storage import parquet
from tests.support.stub_engine import CrashingEngine, StubEngine

PNG = encode_png(np.full((8, 8, 3), 90, np.uint8))
CPU = {"num_gpus": 0, "num_cpus": 0.1}


def rows(names: list[str]) -> list[dict[str, Any]]:
    return [{"id": f"{i:05}", "name": name, "image": {"bytes": PNG, "path": ""}} for i, name in enumerate(names)]


@pytest.fixture
def stub(ray_cluster: None) -> Iterator[Callable[..., Judge]]:
    """A function that makes judges with stub replicas, which are stopped at the end."""
    judges: list[Judge] = []

    def make(engine: type = StubEngine, **settings: Any) -> Judge:
        model = str(PRESETS.parent / "mini" / "weights" / "judge")
        judges.append(Judge(JudgeConfig(model=model, **{**CPU, **settings}), ImageConfig(), engine=engine))
        return judges[-1]

    yield make
    for judge in judges:
        judge.stop()


def score(judge: Judge, asked: list[dict[str, Any]], out: Path, **arguments: Any) -> pa.Table:
    import ray

    written = judge.score(ray.data.from_items(asked), str(out), **arguments)
    assert written.rows == len(asked)
    table = parquet.read_parquet(str(out), written.files)
    assert table["id"].to_pylist() == [row["id"] for row in asked]
    return table


def test_a_row_that_kills_engines_is_found_and_the_others_judged(stub: Callable[..., Judge], tmp_path: Path) -> None:
    names = ["mug"] * 100
    names[17] = "poison"
    names[30] = "refused"
    names[31] = "umbrella"  # eight letters: no score
    table = score(stub(), rows(names), tmp_path).to_pylist()
    errors = {i: row["error"] for i, row in enumerate(table) if row["error"]}
    assert errors.keys() == {17, 30, 31}
    assert errors[17] == "the engine was lost 3 times with this row"
    assert "too strange" in errors[30] and "not a score" in errors[31]
    assert {row["score"] for row in table if row["error"] is None} == {3}


@pytest.mark.slow
def test_an_engine_that_crashes_at_every_row_ends_the_job(stub: Callable[..., Judge], tmp_path: Path) -> None:
    with pytest.raises(Exception, match="engine was lost with each of 9 rows"):
        score(stub(CrashingEngine), rows(["mug"] * 20), tmp_path)


@pytest.mark.slow
def test_a_killed_replica_costs_no_row(stub: Callable[..., Judge], tmp_path: Path) -> None:
    import ray

    judge = stub()
    killed: list[str] = []

    def kill(_: int) -> None:
        for actor in [] if killed else ray.util.list_named_actors(all_namespaces=True):
            if actor["name"].startswith(f"SERVE_REPLICA::{judge.start().name}"):
                ray.kill(ray.get_actor(actor["name"], actor["namespace"]))
                killed.append(actor["name"])

    table = score(judge, rows(["mug"] * 3000), tmp_path, progress=kill)
    assert killed and table["error"].null_count == 3000 and set(table["score"].to_pylist()) == {3}


@pytest.mark.slow
def test_an_engine_that_is_lost_between_steps_costs_the_next_step_only_time(
    stub: Callable[..., Judge], tmp_path: Path
) -> None:
    import ray

    judge = stub()
    score(judge, rows(["mug"] * 3), tmp_path / "before")
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["name"].startswith(f"SERVE_REPLICA::{judge.start().name}"):
            ray.kill(ray.get_actor(actor["name"], actor["namespace"]))
    table = score(judge, rows(["mug"] * 3), tmp_path / "after")
    assert table["error"].null_count == 3 and set(table["score"].to_pylist()) == {3}


@pytest.mark.slow
def test_engines_are_added_while_rows_wait(stub: Callable[..., Judge], tmp_path: Path) -> None:
    judge = stub(replicas=1, max_replicas=3, max_num_seqs=1)
    seen: set[int] = set()

    def count(_: int) -> None:
        from ray import serve

        found = serve.status().applications[judge.start().name].deployments["Engine"]
        seen.add(found.replica_states.get("RUNNING", 0))

    score(judge, rows(["slow"] * 2500), tmp_path, progress=count)
    assert 1 < max(seen) <= 3


@pytest.mark.slow
def test_lost_nodes_cost_no_row(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "support" / "lost_nodes.py"
    ran = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, timeout=300)
    assert "4000 0 True 0" in ran.stdout.splitlines(), ran.stderr[-2000:]
