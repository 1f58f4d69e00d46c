"""The status of a run, from the files that its driver left."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run import lease, status
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.run.folder import Run
from p2i_ray.run.holder import this_process
from p2i_ray.run.manifests import Counts
from p2i_ray.run.status import Life
from p2i_ray.run.step_table import SELECT
from tests.support.step_clock import StepClock

ALIVE = AttemptRecord(host="a", pid=1, began=0, seen=100)
STOPPED = ALIVE.model_copy(update={"ended": 100.0, "outcome": "stopped: round 1/3 · train: too few rows"})


@pytest.mark.parametrize(
    ("written", "attempt", "life", "expected"),
    [
        ("done", None, "none", "done"),
        ("done", ALIVE, "gone", "done"),  # killed while it wrote the report
        ("running", ALIVE, "alive", "running"),
        ("running", STOPPED, "alive", "running"),  # another driver has just begun
        ("running", ALIVE, "silent", "lost"),
        ("running", ALIVE, "gone", "lost"),
        ("stopped", STOPPED, "none", "stopped"),
        ("running", STOPPED, "none", "stopped"),
        ("stopped", None, "none", "stopped"),  # before attempts were recorded
        ("running", None, "none", "lost"),
    ],
)
def test_the_state_of_a_run(written: str, attempt: AttemptRecord | None, life: Life, expected: str) -> None:
    found, why = status.status_of(written, attempt, life)
    assert found == expected and bool(why) == (expected in ("stopped", "lost"))


def test_the_reason_is_the_one_on_record() -> None:
    assert status.status_of("stopped", STOPPED, "none")[1] == "round 1/3 · train: too few rows"


def test_a_folder_from_before_attempts_were_recorded(tmp_path: Path) -> None:
    run = Run.open(str(tmp_path), load(Config, "mini"))
    run.once(1, SELECT, lambda _: Counts(rows_in=5, rows_out=3))
    run.write_summary("stopped")
    found = status.read_status(str(tmp_path))
    assert (found.status, found.of_rounds, found.attempts, found.life) == ("stopped", 3, [], "none")
    assert found.rounds[0]["kept"] == 3


@pytest.mark.parametrize("wrong_by", [-86400.0, 0.0, 86400.0])
def test_a_driver_whose_clock_is_wrong_is_judged_by_its_ticks(tmp_path: Path, wrong_by: float) -> None:
    Run.open(str(tmp_path), load(Config, "mini"))
    location, record = tmp_path / lease.FILE, tmp_path / "attempts" / "a.json"
    elsewhere = this_process().model_copy(update={"machine": "another", "since": wrong_by})
    record.parent.mkdir()
    record.write_text(ALIVE.model_copy(update={"began": wrong_by, "seen": wrong_by}).model_dump_json())
    location.write_text(elsewhere.model_dump_json())
    clock = StepClock()
    assert status.read_status(str(tmp_path), clock.clock).status == "lost"
    assert clock.time >= status.WATCH_S

    tick = elsewhere.model_copy(update={"ticks": 1}).model_dump_json()
    clock = StepClock(at={3.0: lambda: location.write_text(tick)})
    assert status.read_status(str(tmp_path), clock.clock).status == "running"
    assert 3 <= clock.time < 4  # no longer than to the tick

    location.unlink()  # as older versions leave it: the record of the attempt is what changes
    clock = StepClock(at={3.0: lambda: record.write_text(ALIVE.model_copy(update={"seen": 5.0}).model_dump_json())})
    assert status.read_status(str(tmp_path), clock.clock).status == "running"


def test_no_run_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nosuch holds no run \(config.yaml is not there\); check the path"):
        status.read_status(str(tmp_path / "nosuch"))


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "round-1/steps/select.json"])
@pytest.mark.parametrize("content", [b"", b"half", b'{"idr": ', b"\x00\xff\xfe" * 9])
def test_a_hurt_file_is_one_line_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    run = Run.open(str(tmp_path), load(Config, "mini"))
    run.once(1, SELECT, lambda _: Counts(rows_in=5, rows_out=3))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"^{tmp_path}/{name} ") as raised:
        status.read_status(str(tmp_path))
    assert "\n" not in str(raised.value)
