"""The stats job's folder: one job works on it at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import stats
from p2i_ray.config import load
from p2i_ray.errors import UserError
from p2i_ray.run import lease


def test_two_do_not_measure_into_one_folder(tmp_path: Path) -> None:
    job = load(stats.StatsJob, "mini", ["data=/nowhere", f"out={tmp_path}"])
    with lease.held(f"{tmp_path}/.rows.{lease.FILE}"), pytest.raises(UserError, match=r"\.rows is in use by"):
        stats.run(job)
    with pytest.raises(UserError, match="/nowhere"):
        stats.run(job)
