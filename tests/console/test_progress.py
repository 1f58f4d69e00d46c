"""Progress as a log shows it: whole lines, now and then."""

from __future__ import annotations

import pytest

from p2i_ray.console import progress


def test_a_log_gets_the_title_the_count_and_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.phase("round 1/3 · score", 40) as advance:
        advance(10)
        advance(30)
    shown = capsys.readouterr().err
    last = shown.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("round 1/3 · score") and "40/40 rows" in last


def test_without_a_total_units_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.phase("ingest", None, "photos") as advance:
        advance(7)
    last = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert "7 photos" in last and "None" not in last


def test_a_line_between_the_bars_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.phase("score", 2) as advance:
        advance(1)
        progress.say("train waits for nodes")
    assert "train waits for nodes" in capsys.readouterr().err.replace("\r", "\n").splitlines()
