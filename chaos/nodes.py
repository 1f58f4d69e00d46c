"""A Ray cluster of several nodes on this machine; a node can be killed and replaced, or cut off where it has a network.

Without a network all nodes have this machine's address and are started by ray.cluster_utils; with one, the workers are
started by `ray start` in their namespaces.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from chaos import victims
from chaos.network import DEVICE, Network
from chaos.victims import Process
from p2i_ray.cluster.ray_internals import raylet_pid
from p2i_ray.config.environment import ENVIRONMENT

WORKERS = 2
# A worker node: when one of two is lost, the other has room for the largest step beside a warm judge.
NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 150_000_000}
HEAD: dict[str, Any] = {**NODE, "num_cpus": 0, "include_dashboard": False}
GONE_S = 20.0
JOINED_S = 120.0
POLL_S = 0.1


class Nodes:
    """A head, on which only the driver runs, and the worker nodes.

    Args:
        network: in which each worker has an address of its own (none: all have this machine's).
    """

    def __init__(self, network: Network | None = None) -> None:
        self._network = network
        self._raylets: set[int] = set()  # also those that were lost
        self._start()

    def _start(self) -> None:
        from ray.cluster_utils import Cluster

        for name, value in ENVIRONMENT.items():  # raylets read some of it
            os.environ.setdefault(name, value)
        ours = signal.getsignal(signal.SIGTERM)
        cluster: Any = Cluster  # has no types
        head = {**HEAD, "node_ip_address": self._network.head} if self._network else HEAD
        self._cluster = cluster(initialize_head=True, head_node_args=head)
        self._workers: list[_Worker | _NetworkWorker] = [self._add(number) for number in range(WORKERS)]
        signal.signal(signal.SIGTERM, ours)  # Cluster sets a handler that would end all nodes and not this process
        self._raylets.add(raylet_pid(self._cluster.head_node))

    def _add(self, number: int) -> _Worker | _NetworkWorker:
        worker = (
            _NetworkWorker(self._network, number, self._cluster.address) if self._network else _Worker(self._cluster)
        )
        self._raylets.add(worker.raylet)
        deadline = time.monotonic() + JOINED_S
        while not self._joined(number, worker):
            if time.monotonic() > deadline:
                raise TimeoutError(f"node {number} has not joined the cluster within {JOINED_S:.0f} s")
            time.sleep(POLL_S)
        return worker

    def _joined(self, number: int, worker: _Worker | _NetworkWorker) -> bool:
        """Whether the head counts a node as alive."""
        if self._network is None:
            return _alive(worker.raylet)
        address = self._network.address(number)
        table = self._cluster.global_state.node_table()
        return any(node["Alive"] and node["NodeManagerAddress"] == address for node in table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address that drivers join."""
        return str(self._cluster.address)

    def processes(self) -> list[Process]:
        """The descendants of its raylets: workers, actors, and their children."""
        return victims.below([raylet_pid(self._cluster.head_node), *(worker.raylet for worker in self._workers)])

    def lose(self, share: float) -> str:
        """Kill the raylet of the worker node at this fraction of their number, 0..1; return which."""
        pid = self._workers[self._number(share)].raylet
        os.kill(pid, signal.SIGKILL)
        return f"raylet {pid}"

    def cut(self, share: float) -> str:
        """Cut the worker node at this fraction of their number, 0..1, off from the others; return which."""
        assert self._network is not None
        number = self._number(share)
        self._network.cut(number)
        return f"node {self._network.address(number)}"

    def mend(self) -> None:
        """Join the nodes that are cut off; one that the head has given up meanwhile is replaced."""
        assert self._network is not None
        self._network.mend()
        self.replace()

    def replace(self) -> None:
        """Add a new node for each that is lost, or given up by the head."""
        for number, worker in enumerate(self._workers):
            if not (_alive(worker.raylet) and self._joined(number, worker)):
                worker.end()  # its agents, too
                self._workers[number] = self._add(number)

    def _number(self, share: float) -> int:
        return min(int(share * len(self._workers)), len(self._workers) - 1)

    def orphans(self) -> list[Process]:
        """Processes of this cluster that have outlived their parents."""
        return victims.orphans(self._raylets)

    def whole(self) -> bool:
        """Whether all nodes are up."""
        workers = all(_alive(worker.raylet) and self._joined(n, worker) for n, worker in enumerate(self._workers))
        return workers and _alive(raylet_pid(self._cluster.head_node))

    def renew(self) -> None:
        """Replace the cluster by a new one, because a run that hung may have left something behind."""
        self.close()
        self._start()

    def close(self) -> None:
        """End every process of the cluster."""
        left = [psutil.Process(process.pid) for process in self.processes() if psutil.pid_exists(process.pid)]
        for worker in self._workers:
            worker.end()
        self._cluster.shutdown()
        _, stubborn = psutil.wait_procs(left, timeout=GONE_S)
        for process in stubborn:
            process.kill()
        victims.end(self.orphans())


class _Worker:
    """A worker node with this machine's address."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._node = cluster.add_node(**NODE)
        self.raylet = raylet_pid(self._node)

    def end(self) -> None:
        """End its processes."""
        self._cluster.remove_node(self._node, allow_graceful=False)


class _NetworkWorker:
    """A worker node in a network's namespace.

    Raises:
        OSError: it does not start; the message is what `ray start` says.
    """

    def __init__(self, network: Network, number: int, head: str) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        options = [
            f"--address={head}",
            f"--node-ip-address={network.address(number)}",
            f"--num-cpus={NODE['num_cpus']}",
        ]
        options += [f"--object-store-memory={NODE['object_store_memory']}", "--disable-usage-stats", "--block"]
        self._process = subprocess.Popen(
            network.command(number, [ray, "start", *options]),
            env={**os.environ, "GLOO_SOCKET_IFNAME": DEVICE},  # else gloo looks for this machine's own address
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.raylet = self._find_raylet()

    def _find_raylet(self) -> int:
        while self._process.poll() is None:
            for process in victims.below([self._process.pid]):
                if process.title.partition(" ")[0].endswith("/raylet"):
                    return process.pid
            time.sleep(POLL_S)
        out = self._process.stdout.read() if self._process.stdout else b""
        raise OSError(f"`ray start` in a namespace ends with {self._process.returncode}: {out.decode()[-2000:]}")

    def end(self) -> None:
        """End its processes."""
        below = victims.below([self._process.pid])
        victims.end([*below, Process(self._process.pid, "ray start")])
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def _alive(pid: int) -> bool:
    return bool(psutil.pid_exists(pid)) and psutil.Process(pid).status() != str(psutil.STATUS_ZOMBIE)
