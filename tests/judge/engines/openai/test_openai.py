"""A hosted judge: Ray Data's tasks, a Serve replica, a real HTTP endpoint; its costs are tested with jobs/score.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from p2i_ray.config import HostedConfig, ImageConfig, JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.judge import Judge
from p2i_ray.mini.world import render
from p2i_ray.storage import parquet
from tests.support.openai_endpoint import Server, fails, good, serving

PROBABLE = {"4": math.log(0.5), "5": math.log(0.5)}


def hosted(server: Server, cache: Path, **changes: Any) -> Judge:
    # The replica reads the key on its node; PATH is a variable that is set there.
    endpoint = HostedConfig(url=server.url, key_env="PATH", constraint="none", requests_per_minute=1e5, **changes)
    return Judge(JudgeConfig(model="judge-large", hosted=endpoint), ImageConfig(), cache=str(cache))


def rows(number: int) -> list[dict[str, Any]]:
    samples = (render(80, index) for index in range(number))
    return [{"id": s.id, "name": s.name, "image": {"bytes": encode_png(s.image), "path": ""}} for s in samples]


def test_rows_are_scored_and_a_second_run_asks_nothing(ray_cluster: None, tmp_path: Path) -> None:
    import ray

    with serving(then=good("4", PROBABLE)) as server:
        for run, asked in (("first", 20), ("second", 0)):
            before = len(server.bodies)
            with hosted(server, tmp_path / "cache") as judge:
                written = judge.score(ray.data.from_items(rows(20)), str(tmp_path / run))
            assert (written.rows, written.set_aside, written.facts["cached"]) == (20, 0, 20 - asked)
            assert len(server.bodies) - before == asked == written.facts["requests"]
            table = parquet.read_parquet(str(tmp_path / run), written.files)
            assert set(table["score"].to_pylist()) == {4}
            assert table["expected_score"].to_pylist() == pytest.approx([4.5] * 20)


def test_an_endpoint_that_refuses_is_one_line(ray_cluster: None, tmp_path: Path) -> None:
    import ray

    with (
        serving(then=fails(401, "bad key")) as server,
        hosted(server, tmp_path / "cache") as judge,
        pytest.raises(Exception) as caught,  # Ray Data's own, with the line in it
    ):
        judge.score(ray.data.from_items(rows(3)), str(tmp_path / "out"))
    assert f"{UserError.__module__}.UserError: judge.hosted.url={server.url}" in str(caught.value)


def test_early_critiques_are_not_requested_again(ray_cluster: None, tmp_path: Path) -> None:
    import pyarrow as pa
    import ray

    generated = rows(9)
    with (
        serving(then=good('{"comment": "plain", "flaws": []}')) as server,
        hosted(server, tmp_path / "cache") as judge,
    ):
        parquet.write_table(pa.Table.from_pylist(generated[:6]), str(tmp_path / "generated.parquet"))
        early = judge.critique_early()
        assert ray.get(early(str(tmp_path / "generated.parquet"))) == 6
        written = judge.critique(ray.data.from_items(generated), str(tmp_path / "critiques"))
        assert (written.rows, written.facts["cached"], len(server.bodies)) == (9, 6, 9)
