"""Records of attempts, added up by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep, TimeAccount, account, read
from p2i_ray.run.spans import Kind, Span


def span(kind: Kind, began: float, ended: float | None, name: str = "x") -> Span:
    return Span(kind=kind, round=1, name=name, began=began, ended=ended)


FINISHED = AttemptRecord(
    host="a",
    pid=1,
    began=100,
    seen=200,
    ended=200,
    outcome="done",
    spans=[
        span("start", 101, 111, "Ray"),
        span("step", 112, 150),
        span("start", 115, 125, "judge"),
        span("step", 155, 199),
        span("ahead", 130, 154),
        span("wait", 150, 153),
    ],
)
KILLED = AttemptRecord(host="b", pid=2, began=10, seen=50, spans=[span("step", 12, 30), span("step", 31, None)])


def test_the_drivers_own_time_is_what_no_step_and_no_start_covers() -> None:
    # 100-101, 111-112, 153-155, 199-200; from 150 to 153 it waits. What is done ahead explains nothing by itself.
    assert account([FINISHED]) == TimeAccount(attempts=1, wall_s=100, steps_s=82, starts_s=20, ahead_s=3, driver_s=5)
    words = "5.0 s of 100 s besides the steps (5.0 %), engines' start 20 s"
    assert account([FINISHED]).line() == f"{words}, wait for overlapped work 3 s"
    alone = FINISHED.model_copy(update={"spans": FINISHED.spans[:4]})
    assert account([alone]).line() == "8.0 s of 100 s besides the steps (8.0 %), engines' start 20 s"


def test_a_killed_driver_counts_until_it_was_last_seen() -> None:
    # 10-12, 30-31; the pause from 50 to 100 is nobody's.
    both = account([KILLED, FINISHED])
    assert both == TimeAccount(attempts=2, wall_s=140, steps_s=82 + 37, starts_s=20, ahead_s=3, driver_s=5 + 3)
    assert both.figures()["driver_share"] == pytest.approx(8 / 140, abs=1e-4)


def test_no_attempt_took_no_time() -> None:
    assert account([]).driver_share == 0


def test_attempts_are_read_by_their_begin(tmp_path: Path) -> None:
    folder = tmp_path / "attempts"
    folder.mkdir()
    (folder / "a.json").write_text(FINISHED.model_dump_json())
    (folder / "b.json").write_text(KILLED.model_dump_json())
    (folder / "b.parquet").write_bytes(b"not a record")
    assert read(str(tmp_path)) == [KILLED, FINISHED]
    assert read(str(tmp_path / "older")) == []
    (folder / "c.json").write_text('{"host": "x"}')
    with pytest.raises(UserError, match=r"c\.json is no record of an attempt \(3 faults\)"):
        read(str(tmp_path))


def test_the_time_left_needs_a_total_and_a_pace() -> None:
    at = CurrentStep(round=1, step="score", began=0, done=30, total=120, rate=4.5)
    assert at.left_s == pytest.approx(20)
    assert at.model_copy(update={"total": None}).left_s is None
    assert at.model_copy(update={"rate": 0.0}).left_s is None
