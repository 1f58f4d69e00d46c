"""Faults follow from a seed, and find their victims."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from chaos import faults, victims
from chaos.faults import KINDS, PUBLISH, Fault
from chaos.victims import Process
from p2i_ray.diffusion.features.encode import Encode
from p2i_ray.diffusion.sampling.generate import _Paint

ROUND = ("score", "select", "inspect", "encode", "train", "generate", "measure", "critique", "feedback")
STEPS = [(number, name) for number in (1, 2) for name in ROUND if (number, name) != (2, "encode")] + [(2, PUBLISH)]


def test_a_seed_gives_the_same_faults_every_time() -> None:
    assert all(faults.draw(seed, STEPS) == faults.draw(seed, STEPS) for seed in range(50))
    assert len({faults.draw(seed, STEPS) for seed in range(50)}) == 50


def test_faults_are_of_all_kinds_at_all_steps_one_or_two_a_run_in_order() -> None:
    runs = [faults.draw(seed, STEPS) for seed in range(1000)]
    drawn = [fault for run in runs for fault in run]
    assert {fault.kind for fault in drawn} == set(KINDS)
    assert {(fault.round, fault.step) for fault in drawn} == set(STEPS)
    assert all(0 <= fault.share < 1 and 0 <= fault.victim < 1 for fault in drawn)
    assert {len(run) for run in runs} == {1, 2}
    assert 200 < sum(len(run) == 2 for run in runs) < 300
    for run in runs:
        moments = [(STEPS.index((fault.round, fault.step)), fault.share) for fault in run]
        assert moments == sorted(moments)


def test_processes_are_killed_in_the_steps_that_have_them() -> None:
    drawn = [fault for seed in range(500) for fault in faults.draw(seed, STEPS, ("trainer", "actor"))]
    where = {kind: {fault.step for fault in drawn if fault.kind == kind} for kind in ("trainer", "actor")}
    assert where == {"trainer": {"train"}, "actor": {"encode", "generate"}}


def test_a_kind_that_no_step_has_is_not_drawn() -> None:
    drawn = [faults.draw(seed, [(1, "score")], ("trainer", "driver")) for seed in range(50)]
    assert {fault.kind for run in drawn for fault in run} == {"driver"}


def test_a_network_is_cut_for_20_or_120_seconds() -> None:
    drawn = [fault for seed in range(100) for fault in faults.draw(seed, STEPS, ("network cut", "driver"))]
    cuts = [fault.hold_s for fault in drawn if fault.kind == "network cut"]
    assert set(cuts) == {20.0, 120.0} and 0.3 < cuts.count(20.0) / len(cuts) < 0.7


def test_a_run_in_a_bucket_has_no_faults_of_disks() -> None:
    runs = [{fault.kind for fault in faults.draw(seed, STEPS)} for seed in range(1000)]
    assert {"bucket 503", "engine"} in runs and {"full disk", "folder away"} in runs
    for kinds in runs:
        assert "bucket 503" not in kinds or kinds.isdisjoint({"full disk", "folder away"})


def test_victims_are_told_by_their_titles() -> None:
    processes = [
        Process(9, "ray::ServeReplica:judge-0f0b03bc:Engine.ask"),
        Process(3, "VLLM::EngineCore"),
        Process(4, "ray::ServeController"),
        Process(5, "ray::RayTrainWorker.poll_status"),
        Process(6, f"ray::MapWorker(MapBatches({Encode.__name__})).submit"),
        Process(7, f"ray::MapWorker(MapBatches({_Paint.__name__}))"),
        Process(8, "ray::MapBatches(_ask_block)"),
        Process(10, "ray::TrainController"),
        Process(11, "ray::IDLE"),
        Process(12, ""),
    ]
    found = {kind: [p.pid for p in victims.of_kind(kind, processes)] for kind in ("engine", "trainer", "actor")}
    assert found == {"engine": [3, 9], "trainer": [5], "actor": [6, 7]}


def test_the_share_picks_among_all() -> None:
    three = [Process(pid, "") for pid in (1, 2, 3)]
    assert [victims.pick(share, three).pid for share in (0.0, 0.3, 0.34, 0.6, 0.7, 0.999)] == [1, 1, 2, 2, 3, 3]


def test_only_what_a_process_has_started_is_below_it() -> None:
    sleeping = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", sleeping], stdin=subprocess.PIPE) as ours:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as others:
            found: list[Process] = []
            while [process.title[-10:] for process in found] != ["-c input()"]:  # not yet its own program
                found = victims.below([ours.pid])
            assert {others.pid, ours.pid, os.getpid()}.isdisjoint(process.pid for process in found)
            others.communicate(b"\n")
        ours.communicate(b"\n")
    assert victims.below([ours.pid]) == []


def test_an_orphan_is_known_by_its_raylet_and_ended() -> None:
    leave = """if True:
        import subprocess, sys
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
        print(left.pid)
    """
    environment = {**os.environ, victims.RAYLET: str(os.getpid())}
    gone = subprocess.run([sys.executable, "-c", leave], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    left = psutil.Process(int(gone.stdout))
    assert [process.pid for process in victims.orphans({os.getpid()})] == [left.pid]
    assert victims.orphans({os.getpid() + 1}) == []
    victims.end(victims.orphans({os.getpid()}))
    assert psutil.wait_procs([left], timeout=10)[1] == []


def test_a_fault_says_its_moment() -> None:
    assert (
        str(Fault(kind="node", round=2, step="train", share=0.5, victim=0.1, hold_s=4.0))
        == "node · round 2 train · 0.50"
    )
