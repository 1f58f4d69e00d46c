"""Faults are injected at their moments, outages end, and no run is waited for long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos import disk as disks
from chaos.bucket import Bucket
from chaos.disk import RunDisk
from chaos.faults import PUBLISH, Fault
from chaos.injection import FaultInjection, RunRecord
from chaos.job import Job
from chaos.victims import Process
from tests.support.toy_job import STEPS

pytestmark = pytest.mark.heavy  # the toy job
STEP_SECONDS = {**{(1, step): 0.3 for step in STEPS}, (1, PUBLISH): 0.05}
TOY = Path(__file__).parents[1] / "support" / "toy_job.py"


class FewNodes:
    """Nodes without Ray; they run one process, if any."""

    address = ""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        self.lost, self.replaced, self.cuts, self.mended = 0, 0, 0, 0

    def processes(self) -> list[Process]:
        return self._processes

    def lose(self, share: float) -> str:
        self.lost += 1
        return "raylet 1"

    def orphans(self) -> list[Process]:
        return []

    def replace(self) -> None:
        self.replaced += 1

    def cut(self, share: float) -> str:
        self.cuts += 1
        return "node 10.77.0.11"

    def mend(self) -> None:
        self.mended += 1


Run = Callable[..., tuple[RunRecord, Job, FewNodes]]


@pytest.fixture
def inject(tmp_path: Path) -> Iterator[Run]:
    """Run the toy job with faults; returns the record, the job and the nodes."""

    def run(
        *faults: Fault,
        hangs: str = "",
        mount: bool = False,
        limit_s: float = 60.0,
        processes: tuple[Process, ...] = (),
        bucket: Bucket | None = None,
    ) -> tuple[RunRecord, Job, FewNodes]:
        nodes = FewNodes(list(processes))
        with RunDisk(tmp_path / "place", mount, size_mb=1) as disk:
            run_dir = disk.root / "run"
            job = Job([sys.executable, str(TOY), str(run_dir), hangs], run_dir, "", tmp_path / "log")
            record = FaultInjection(
                job,
                faults,
                step_seconds=STEP_SECONDS,
                nodes=nodes,  # type: ignore[arg-type]
                disk=disk,
                limit_s=limit_s,
                evidence=tmp_path / "evidence",
                bucket=bucket,
            ).run()
            assert record.hung or all(job.done(step) for step in list(STEP_SECONDS)[:-1])
        return record, job, nodes

    yield run


def fault(kind: str, step: str, share: float = 0.5, hold_s: float = 0.3) -> Fault:
    return Fault(kind=kind, round=1, step=step, share=share, victim=0.0, hold_s=hold_s)


def test_without_faults_one_command_does_it(inject: Run) -> None:
    record, _, _ = inject()
    assert (record.endings, record.injected, record.hung) == (["done"], [], None)
    assert record.startup_s == 0


def test_a_killed_driver_is_started_again_and_both_starts_count(inject: Run) -> None:
    record, job, _ = inject(fault("driver", "train"), fault("driver", "critique", 0.0))
    assert record.endings == ["killed", "killed", "done"]
    assert [(s.fault.step, s.round, s.step) for s in record.injected] == [
        ("train", 1, "train"),
        ("critique", 1, "critique"),
    ]
    assert len({tuple(job._argv)}) == 1 and all(command.startup_s for command in job.commands)


def test_a_node_is_replaced_before_the_next_fault(inject: Run) -> None:
    record, _, nodes = inject(fault("node", "score"), fault("node", "generate"))
    assert (nodes.lost, nodes.replaced, record.endings) == (2, 2, ["done"])


def test_a_node_that_is_cut_off_is_joined_again_before_the_next_fault(inject: Run) -> None:
    record, _, nodes = inject(fault("network cut", "score", hold_s=0.4), fault("network cut", "generate"))
    assert (nodes.cuts, nodes.mended, record.endings) == (2, 2, ["done"])
    assert record.injected[0].whom == "node 10.77.0.11 for 0 s"


def test_a_bucket_refuses_for_a_while_and_answers_before_the_command_is_given_again(
    inject: Run, s3_bucket: Bucket
) -> None:
    for hold_s in (0.3, 600.0):
        drawn = (fault("bucket 503", "select", hold_s=hold_s), fault("driver", "train"))
        record, _, _ = inject(*drawn, bucket=s3_bucket)
        assert record.injected[0].whom == s3_bucket.uri
        assert not s3_bucket.throttle.refuses_all and record.seconds < 600


def test_a_folder_that_is_away_is_back_before_the_command_is_given_again(inject: Run) -> None:
    record, _, _ = inject(fault("folder away", "select", hold_s=600.0))
    assert [ending.split(":")[0] for ending in record.endings] == ["error", "done"]
    assert record.seconds < 600


def test_a_full_disk_that_ends_in_a_trace_is_told_from_one_line(inject: Run, tmp_path: Path) -> None:
    if not disks.can_mount(tmp_path):
        pytest.skip("mounting is not permitted")
    record, _, _ = inject(fault("full disk", "train", hold_s=600.0), mount=True)
    assert record.endings[0].startswith("TRACE (exit code 1): OSError: [Errno 28]")
    assert record.endings[1:] == ["done"]


def test_a_run_that_hangs_is_ended_and_leaves_evidence(inject: Run, tmp_path: Path) -> None:
    record, job, _ = inject(hangs="train", limit_s=2.0, processes=(Process(1, "ray::Somebody"),))
    assert record.hung == "round 1 train, after 2 s"
    assert "ray::Somebody" in (tmp_path / "evidence").read_text()
    assert job.look().code == -9


def test_a_fault_without_a_victim_is_reported_as_missed(inject: Run) -> None:
    record, _, _ = inject(fault("trainer", "train"), processes=(Process(1, "ray::IDLE"),))
    assert [missed.kind for missed in record.missed] == ["trainer"] and record.injected == []
