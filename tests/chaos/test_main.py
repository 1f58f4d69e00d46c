"""Real nodes, and a real run of the loop with a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.network import reason_against

ROOT = Path(__file__).parents[2]
# As a program, because a process has one cluster.
LOSE_ONE = """
import time
from chaos.nodes import Nodes
with Nodes() as nodes:
    before = {process.pid for process in nodes.processes()}
    print(bool(before), nodes.whole())
    nodes.lose(0.9)
    while nodes.whole():
        time.sleep(0.05)
    nodes.replace()
    after = {process.pid for process in nodes.processes()}
    print(nodes.whole(), len(nodes._cluster.list_all_nodes()), bool(after - before))
import psutil
print(any(psutil.pid_exists(pid) for pid in before | after))
"""

CUT_ONE = """
import time
from chaos.network import Network
from chaos.nodes import WORKERS, Nodes
with Network(WORKERS) as network, Nodes(network) as nodes:
    print(nodes.whole(), nodes.cut(0.9) == f"node {network.address(1)}")
    while nodes.whole():  # until the head gives it up
        time.sleep(0.05)
    nodes.mend()
    print(nodes.whole())
    nodes.cut(0.0)
    nodes.mend()
    print(nodes.whole())
print([process.title for process in nodes.orphans()])
"""


def test_no_run_at_all_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from chaos.__main__ import main

    monkeypatch.setattr(sys, "argv", ["chaos", "--runs", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "--runs: 0 is no number from 1 up" in capsys.readouterr().err


@pytest.mark.slow
def test_a_node_that_was_cut_off_for_long_is_replaced() -> None:
    if why := reason_against():
        pytest.skip(why)
    ran = subprocess.run([sys.executable, "-c", CUT_ONE], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.stdout.splitlines() == ["True True", "True", "True", "[]"], ran.stderr[-2000:]


@pytest.mark.slow
def test_a_lost_node_is_replaced_and_nothing_of_the_cluster_stays() -> None:
    ran = subprocess.run([sys.executable, "-c", LOSE_ONE], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.stdout.splitlines() == ["True True", "True 3 True", "False"], ran.stderr[-2000:]


@pytest.mark.slow
def test_a_run_whose_training_process_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    out = tmp_path / "chaos"
    command = [sys.executable, "-m", "chaos", "--runs", "1", "--calm", "1", "--kinds", "trainer", "--out", str(out)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    [row] = json.loads((out / "chaos.json").read_text("utf-8"))
    assert row["same"] and row["lost"] == 0 and row["faults"][0].startswith("trainer")
