"""jobs/score.py against a hosted judge that runs out of money: the same command goes on where it stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from p2i_ray.console.cli import main
from tests.support.load_job import load_job
from tests.support.openai_endpoint import completion, good, serving

ROWS = 120  # of the small data's training split


@pytest.fixture(scope="module")
def job() -> ModuleType:
    return load_job("score")


def test_the_same_command_goes_on_and_asks_only_what_is_new(
    ray_cluster: None, mini_data: str, job: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cost = tmp_path / "scores", completion("4")["usage"]["prompt_tokens"] / 1000  # USD a request

    def run(max_usd: float) -> None:
        hosted = {
            "url": server.url,
            "key_env": "PATH",
            "constraint": "none",
            "requests_per_minute": 1e5,
            "max_usd": max_usd,
        }
        prices = {"usd_per_million_input": 1000}
        settings = [f"judge.hosted.{key}={value}" for key, value in {**hosted, **prices}.items()]
        arguments = ["--config", "mini", f"data={mini_data}", f"out={out}", *settings]
        main(job.ScoreJob, job.__doc__, job.run, arguments)

    with serving(then=good("4", {"4": math.log(0.5), "5": math.log(0.5)})) as server:
        with pytest.raises(SystemExit) as stopped:
            run(70.5 * cost)
        assert stopped.value.code == 2
        assert "raise it and run the same command" in capsys.readouterr().err.splitlines()[-1]
        paid = len(server.bodies)
        assert 70 <= paid <= 70 + 16 and not (out / "manifest.json").exists()
        run(1000)
        assert len(server.bodies) == ROWS
        manifest = json.loads((out / "manifest.json").read_text())
        assert (manifest["rows"], manifest["set_aside"], manifest["facts"]["cached"]) == (ROWS, 0, paid)
        assert manifest["facts"]["usd"] == pytest.approx((ROWS - paid) * cost)
        ids = [row["id"] for path in out.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
        assert len(ids) == len(set(ids)) == ROWS
        with pytest.raises(SystemExit):
            run(1000)
        assert "is there already" in capsys.readouterr().err
