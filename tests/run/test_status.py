"""The status of a run, from the files that its driver left."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run import status
from p2i_ray.run.attempt_record import AttemptRecord
from p2i_ray.run.folder import Run
from p2i_ray.run.manifests import Counts
from p2i_ray.run.status import LOST_S
from p2i_ray.run.step_table import SELECT

ALIVE = AttemptRecord(host="a", pid=1, began=0, seen=100)
STOPPED = ALIVE.model_copy(update={"ended": 100.0, "outcome": "stopped: round 1/3 · train: too few rows"})


@pytest.mark.parametrize(
    ("written", "attempt", "silent_s", "expected"),
    [
        ("done", None, None, "done"),
        ("done", ALIVE, 1e6, "done"),  # killed while it wrote the report
        ("running", ALIVE, LOST_S - 1, "running"),
        ("running", ALIVE, LOST_S + 1, "lost"),
        ("stopped", STOPPED, 3.0, "stopped"),
        ("running", STOPPED, 3.0, "stopped"),
        ("stopped", None, None, "stopped"),  # before attempts were recorded
        ("running", None, None, "lost"),
    ],
)
def test_the_state_of_a_run(written: str, attempt: AttemptRecord | None, silent_s: float | None, expected: str) -> None:
    found, why = status.status_of(written, attempt, silent_s)
    assert found == expected and bool(why) == (expected in ("stopped", "lost"))


def test_the_reason_is_the_one_on_record() -> None:
    assert status.status_of("stopped", STOPPED, 3.0)[1] == "round 1/3 · train: too few rows"


def test_a_folder_from_before_attempts_were_recorded(tmp_path: Path) -> None:
    run = Run.open(str(tmp_path), load(Config, "mini"))
    run.once(1, SELECT, lambda _: Counts(rows_in=5, rows_out=3))
    run.write_summary("stopped")
    found = status.read_status(str(tmp_path), 0.0)
    assert (found.status, found.of_rounds, found.attempts, found.silent_s) == ("stopped", 3, [], None)
    assert found.rounds[0]["kept"] == 3


def test_no_run_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nosuch holds no run \(config.yaml is not there\); check the path"):
        status.read_status(str(tmp_path / "nosuch"), 0.0)


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "round-1/steps/select.json"])
@pytest.mark.parametrize("content", [b"", b"half", b'{"idr": ', b"\x00\xff\xfe" * 9])
def test_a_hurt_file_is_one_line_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    run = Run.open(str(tmp_path), load(Config, "mini"))
    run.once(1, SELECT, lambda _: Counts(rows_in=5, rows_out=3))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"^{tmp_path}/{name} ") as raised:
        status.read_status(str(tmp_path), 0.0)
    assert "\n" not in str(raised.value)
