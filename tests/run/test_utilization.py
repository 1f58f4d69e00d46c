"""Utilisation of nodes: metrics pages are read, samples are kept within bounds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from p2i_ray.run.node_metrics import read_node
from p2i_ray.run.utilization import Utilization, UtilizationHistory, UtilizationSample, mean, parse, read, table
from p2i_ray.storage.parquet import write_table

PAGE = """# HELP ray_node_cpu_utilization Total CPU usage on a ray node
# TYPE ray_node_cpu_utilization gauge
ray_node_cpu_utilization{IsHeadNode="true",RayNodeType="head",ip="10.0.0.1"} 62.5
ray_node_cpu_count{IsHeadNode="true",ip="10.0.0.1"} 16.0
ray_node_gpus_available{ip="10.0.0.1"} 2.0
ray_node_gpus_utilization{GpuDeviceName="H200",GpuIndex="0",ip="10.0.0.1"} 90.0
ray_node_gpus_utilization{GpuDeviceName="H200",GpuIndex="1",ip="10.0.0.1"} 30.0
ray_resources{Component="raylet",Name="CPU",State="USED",WorkerId=""} 4.0
ray_resources{Component="raylet",Name="CPU",State="AVAILABLE",WorkerId=""} 12.0
ray_resources{Component="raylet",Name="GPU",State="AVAILABLE",WorkerId=""} 2.0
ray_resources{Component="raylet",Name="memory",State="AVAILABLE",WorkerId=""} 2.4e+10
"""
BUSY = Utilization(cpu=0.5, gpu=None, cpus=8, gpus=0, reserved_cpu=0.25, reserved_gpu=None)


def test_a_page_with_gpus() -> None:
    assert parse(PAGE) == Utilization(cpu=0.625, gpu=0.6, cpus=16, gpus=2, reserved_cpu=0.25, reserved_gpu=0.0)


def test_a_page_before_the_agents_first_look_tells_nothing_of_the_cpus() -> None:
    assert parse('ray_node_cpu_utilization{ip="10.0.0.1"} 0.0\n') == Utilization(
        cpu=None, gpu=None, cpus=0, gpus=0, reserved_cpu=None, reserved_gpu=None
    )


def test_means_leave_out_what_is_not_known() -> None:
    assert mean([BUSY, BUSY._replace(cpu=1.0), BUSY._replace(cpu=None)]) == BUSY._replace(cpu=0.75)


def test_long_runs_are_kept_coarser_and_lose_no_time() -> None:
    moments = UtilizationHistory(every_s=5, most=10)
    for second in range(0, 200, 5):  # 40 moments: joined two by two, twice
        moments.add(1000 + second, "n1", "host", BUSY._replace(cpu=second / 200))
    rows = moments.rows()
    assert moments.every_s == 20 and len(rows) == 10
    assert [row.began for row in rows] == [1000 + 20 * place for place in range(10)]
    assert rows[0].use.cpu == pytest.approx((0 + 5 + 10 + 15) / 4 / 200)
    assert sum(row.seconds for row in rows) == 200


def test_nodes_that_come_later_have_their_own_rows(tmp_path: Path) -> None:
    moments = UtilizationHistory(every_s=5)
    moments.add(1000, "n1", "head", BUSY)
    moments.add(1005, "n1", "head", BUSY)
    moments.add(1006, "n2", "worker", BUSY._replace(gpu=0.5, gpus=4))
    rows = moments.rows()
    assert [(row.began, row.node) for row in rows] == [(1000, "n1"), (1005, "n1"), (1005, "n2")]
    write_table(table(rows), str(tmp_path / "use.parquet"))
    assert read(str(tmp_path / "use.parquet")) == rows
    assert rows[2] == UtilizationSample(
        began=1005,
        seconds=5,
        node="n2",
        host="worker",
        use=Utilization(cpu=0.5, gpu=0.5, cpus=8, gpus=4, reserved_cpu=0.25, reserved_gpu=None),
    )
    assert read(str(tmp_path / "none.parquet")) == []


@pytest.fixture
def agent() -> Iterator[int]:
    """A node's agent: its page at /metrics."""

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.encode() if self.path == "/metrics" else b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_node_is_asked_without_a_proxy(agent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert read_node({"NodeManagerAddress": "127.0.0.1", "MetricsExportPort": agent}) == parse(PAGE)


def test_a_node_that_is_gone_or_silent_costs_little_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert read_node({"NodeManagerAddress": "127.0.0.1", "MetricsExportPort": port}) is None  # nobody listens
        silent.listen()
        assert read_node({"NodeManagerAddress": "127.0.0.1", "MetricsExportPort": port}) is None  # by its own limit


def test_a_page_that_counts_more_than_all_says_all() -> None:
    assert parse('ray_node_cpu_utilization{ip="10.0.0.1"} 100.4\n').cpu == 1.0
