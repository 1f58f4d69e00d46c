"""One driver on a run folder: the second is refused, a dead one's lease is taken over, on disks and in buckets."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from p2i_ray.errors import UserError
from p2i_ray.run import lease
from p2i_ray.run.holder import Holder, started, this_machine, this_process
from p2i_ray.run.lease import Lease, Timing, held
from p2i_ray.storage import locations
from tests.support.step_clock import StepClock

pytestmark = pytest.mark.long

ELSEWHERE = this_process().model_copy(update={"machine": "another", "host": "node-7", "pid": 42, "since": 1764331200.0})
CALM = Timing(renew=3600, poll=2)  # no ticks of its own
SCRIPT = """
import sys, time
from p2i_ray.errors import UserError
from p2i_ray.run.lease import held
try:
    with held(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error, flush=True)
    sys.exit(2)
"""


class Careless(MemoryFileSystem):  # type: ignore[misc]
    """A store that ignores the condition of a conditional write, as older S3-compatible ones do."""

    protocol = "careless"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        super().pipe_file(path, value)


class Clueless(Careless):
    """A store whose client doesn't know the condition."""

    protocol = "clueless"
    store: ClassVar[dict[str, Any]] = {}

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create":
            raise NotImplementedError
        super().pipe_file(path, value)


fsspec.register_implementation("careless", Careless, clobber=True)
fsspec.register_implementation("clueless", Clueless, clobber=True)


@pytest.fixture(params=["disk", "memory", "careless", "clueless", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Location of a lease on a disk and in several kinds of buckets."""
    store = request.param
    if store == "disk":
        return str(tmp_path / lease.FILE)
    bucket = f"{store}:/"
    if store == "s3":
        bucket = request.getfixturevalue("s3_bucket").uri
    elif store == "gs":
        bucket = request.getfixturevalue("gs_bucket")
    return f"{bucket}/{uuid.uuid4().hex}/first/{lease.FILE}"


def put(place: str, holder: Holder) -> None:
    locations.write_text(place, holder.model_dump_json())


def owner(place: str) -> str | None:
    seen = lease.read(place)
    return seen.holder.owner if seen and seen.holder else None


def test_held_by_one_and_given_back(place: str) -> None:
    with held(place, CALM) as mine:
        mine.check()
        with pytest.raises(UserError, match=r"is in use by") as refused:
            Lease(place, CALM, StepClock().clock).acquire()
        me = this_process()
        assert f"in use by {me.host}, process {me.pid}, since 20" in str(refused.value)
        assert str(refused.value).startswith(place.removesuffix("/lease.json"))
    assert lease.read(place) is None
    with held(place, CALM):
        pass


def test_another_machine_s_driver_is_refused_at_its_next_tick(place: str) -> None:
    put(place, ELSEWHERE)
    clock = StepClock(at={4.0: lambda: put(place, ELSEWHERE.model_copy(update={"ticks": 1}))})
    with pytest.raises(UserError, match=r"in use by node-7, process 42, since 2025-11-28 12:00:00 UTC; let it end"):
        Lease(place, CALM, clock.clock).acquire()
    assert clock.time < 5 and owner(place) == ELSEWHERE.owner


def test_a_lease_without_ticks_is_taken_over_after_a_minute_of_the_observer(place: str) -> None:
    put(place, ELSEWHERE)
    clock = StepClock()
    mine = Lease(place, CALM, clock.clock)
    mine.acquire()
    assert 60 <= clock.time < 65 and owner(place) not in (None, ELSEWHERE.owner)
    mine.check()
    mine.release()
    assert lease.read(place) is None


def test_of_two_that_take_over_at_once_the_last_writer_has_it(place: str) -> None:
    put(place, ELSEWHERE)
    rival = this_process()
    clock = StepClock(at={60.5: lambda: put(place, rival)})  # after this one's write, before its look
    with pytest.raises(UserError, match="in use by"):
        Lease(place, CALM, clock.clock).acquire()
    assert owner(place) == rival.owner


def test_who_was_taken_over_finds_out_and_leaves_the_lease_alone(place: str) -> None:
    mine = Lease(place, CALM, StepClock().clock)
    mine.acquire()
    mine.renew()
    put(place, ELSEWHERE)
    with pytest.raises(UserError, match="was taken over by node-7, process 42"):
        mine.check()
    mine.renew()
    mine.release()
    assert owner(place) == ELSEWHERE.owner


def test_a_removed_lease_is_written_again_and_a_folder_that_is_away_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    mine = Lease(str(folder / lease.FILE), CALM, StepClock().clock)
    mine.acquire()
    (folder / lease.FILE).unlink()
    mine.renew()
    mine.check()
    folder.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        mine.renew()
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    mine.renew()
    mine.release()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", b'{"owner": "a', b"\xff\x00"])
def test_a_broken_lease_holds_for_a_minute_at_the_most(place: str, content: bytes) -> None:
    locations.write_bytes(place, content)
    clock = StepClock()
    mine = Lease(place, CALM, clock.clock)
    mine.acquire()
    assert 60 <= clock.time < 65
    mine.release()


def test_a_minute_in_which_the_store_does_not_answer_says_nothing(tmp_path: Path) -> None:
    place = tmp_path / lease.FILE
    put(str(place), ELSEWHERE)

    def cut() -> None:
        place.unlink()
        place.mkdir()  # reading it fails

    def back() -> None:
        place.rmdir()
        put(str(place), ELSEWHERE)

    clock = StepClock(at={10.0: cut, 100.0: back})
    assert lease.state(str(place), 60, 0.5, clock.clock)[0] == "dead"
    assert clock.time >= 159


def test_of_many_threads_one_gets_it(place: str) -> None:
    refused: list[UserError] = []
    got: list[Lease] = []
    gate = threading.Barrier(8)

    def take() -> None:
        mine = Lease(place, Timing(renew=3600, settle=0.5))
        gate.wait()
        try:
            mine.acquire()
            got.append(mine)
        except UserError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) + len(refused) == 8
    *lost, holder = sorted(got, key=lambda mine: owner(place) == mine._mine.owner)
    holder.check()
    assert not lost or place.startswith(
        ("careless", "clueless", "gs")
    )  # stores that ignore the condition: a slow write
    for mine in lost:
        with pytest.raises(UserError, match="was taken over"):
            mine.check()
    holder.release()


def test_processes_are_recognised_by_their_start(tmp_path: Path) -> None:
    me = this_process()
    assert me.process() == "runs" and this_machine()
    assert me.model_copy(update={"started": (me.started or 0) - 1}).process() == "gone"  # the number was used again
    assert me.model_copy(update={"pid": 2**22 + 1}).process() == "gone"
    assert me.model_copy(update={"machine": "another"}).process() == "unknown"
    assert started(1) is not None


def test_two_processes_and_one_that_was_killed(tmp_path: Path) -> None:
    place = str(tmp_path / lease.FILE)

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, place]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    first = start()
    assert first.stdout and first.stdout.readline() == "held\n"
    second = start()
    line = second.communicate()[0]
    assert second.returncode == 2 and f"process {first.pid}, since " in line and line.count("\n") == 1
    first.kill()  # not waited for: it stays in the table of processes
    third = start()
    assert third.stdout and third.stdout.readline() == "held\n"
    assert third.communicate("")[0] == "" and third.returncode == 0 and not list(tmp_path.iterdir())
    first.wait()
    for process in (first, second, third):
        process.stdout.close()  # type: ignore[union-attr]
