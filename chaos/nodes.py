"""A Ray cluster of several nodes on this machine; a node can be killed and replaced."""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import Any, Self

import psutil

from chaos import victims
from chaos.victims import Process
from p2i_ray.cluster.ray_internals import raylet_pid
from p2i_ray.config.environment import ENVIRONMENT

WORKERS = 2
# A worker node: when one of two is lost, the other has room for the largest step beside a warm judge.
NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 150_000_000}
HEAD: dict[str, Any] = {**NODE, "num_cpus": 0, "include_dashboard": False}
GONE_S = 20.0


class Nodes:
    """A head, on which only the driver runs, and the worker nodes."""

    def __init__(self) -> None:
        self._raylets: set[int] = set()  # also those that were lost
        self._start()

    def _start(self) -> None:
        from ray.cluster_utils import Cluster

        for name, value in ENVIRONMENT.items():  # raylets read some of it
            os.environ.setdefault(name, value)
        ours = signal.getsignal(signal.SIGTERM)
        cluster: Any = Cluster  # has no types
        self._cluster = cluster(initialize_head=True, head_node_args=HEAD)
        self._workers = [self._cluster.add_node(**NODE) for _ in range(WORKERS)]
        self._cluster.wait_for_nodes()
        signal.signal(signal.SIGTERM, ours)  # Cluster sets a handler that would end all nodes and not this process
        self._raylets |= {raylet_pid(node) for node in self._cluster.list_all_nodes()}

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
        return victims.below(raylet_pid(node) for node in self._cluster.list_all_nodes())

    def lose(self, share: float) -> str:
        """Kill the raylet of the worker node at this fraction of their number, 0..1; return which."""
        number = min(int(share * len(self._workers)), len(self._workers) - 1)
        pid = raylet_pid(self._workers[number])
        os.kill(pid, signal.SIGKILL)
        return f"raylet {pid}"

    def replace(self) -> None:
        """Add a new node for each that is lost."""
        for number, node in enumerate(self._workers):
            if not _alive(raylet_pid(node)):
                self._cluster.remove_node(node, allow_graceful=False)  # its agents
                self._workers[number] = self._cluster.add_node(**NODE)
                self._raylets.add(raylet_pid(self._workers[number]))

    def orphans(self) -> list[Process]:
        """Processes of this cluster that have outlived their parents."""
        return victims.orphans(self._raylets)

    def whole(self) -> bool:
        """Whether all nodes are up."""
        return all(_alive(raylet_pid(node)) for node in self._cluster.list_all_nodes())

    def renew(self) -> None:
        """Replace the cluster by a new one, because a run that hung may have left something behind."""
        self.close()
        self._start()

    def close(self) -> None:
        """End every process of the cluster."""
        left = [psutil.Process(process.pid) for process in self.processes() if psutil.pid_exists(process.pid)]
        self._cluster.shutdown()
        _, stubborn = psutil.wait_procs(left, timeout=GONE_S)
        for process in stubborn:
            process.kill()
        victims.end(self.orphans())


def _alive(pid: int) -> bool:
    return bool(psutil.pid_exists(pid)) and psutil.Process(pid).status() != str(psutil.STATUS_ZOMBIE)
