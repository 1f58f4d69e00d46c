"""A Ray cluster of several nodes on this machine, of which one can be lost and replaced."""

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
# Of a worker node: with one of two lost, the other has room for the largest step beside a warm judge.
NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 150_000_000}
HEAD: dict[str, Any] = {**NODE, "num_cpus": 0, "include_dashboard": False}
GONE_S = 20.0


class Nodes:
    """A head, which computes nothing but keeps the driver, and the worker nodes."""

    def __init__(self) -> None:
        self._raylets: set[int] = set()  # also those that were lost
        self._start()

    def _start(self) -> None:
        from ray.cluster_utils import Cluster

        for name, value in ENVIRONMENT.items():  # raylets read some of it
            os.environ.setdefault(name, value)
        ours = signal.getsignal(signal.SIGTERM)
        self._cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        self._workers = [self._cluster.add_node(**NODE) for _ in range(WORKERS)]
        self._cluster.wait_for_nodes()
        signal.signal(signal.SIGTERM, ours)  # a node sets its own, which would end all nodes and not this process
        self._raylets |= {raylet_pid(node) for node in self._cluster.list_all_nodes()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What drivers join."""
        return str(self._cluster.address)

    def processes(self) -> list[Process]:
        """What its raylets have started: workers, actors, and what these have started."""
        return victims.below(raylet_pid(node) for node in self._cluster.list_all_nodes())

    def lose(self, share: float) -> str:
        """kill -9 the raylet of a worker node; the one at this share of their number, 0..1. Says which."""
        number = min(int(share * len(self._workers)), len(self._workers) - 1)
        pid = raylet_pid(self._workers[number])
        os.kill(pid, signal.SIGKILL)
        return f"raylet {pid}"

    def replace(self) -> None:
        """Have a new node for each that is lost."""
        for number, node in enumerate(self._workers):
            if not _alive(raylet_pid(node)):
                self._cluster.remove_node(node, allow_graceful=False)  # its agents
                self._workers[number] = self._cluster.add_node(**NODE)
                self._raylets.add(raylet_pid(self._workers[number]))

    def orphans(self) -> list[Process]:
        """Processes of this cluster that have outlived the one that started them."""
        return victims.orphans(self._raylets)

    def whole(self) -> bool:
        """Whether all nodes are up."""
        return all(_alive(raylet_pid(node)) for node in self._cluster.list_all_nodes())

    def renew(self) -> None:
        """Another cluster in place of this one, for what was left behind by a run that hung."""
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
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
