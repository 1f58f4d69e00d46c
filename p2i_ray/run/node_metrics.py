"""Record the utilisation of the cluster's nodes during a run, whatever job causes it.

It is read from the metrics page that every node's agent has for Prometheus. So nothing is scheduled, and a node that
an autoscaler wants to remove stays idle for Ray. A node whose page can't be reached is missing.
"""

from __future__ import annotations

import http.client
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from p2i_ray.run.utilization import Utilization, UtilizationHistory, parse, table
from p2i_ray.storage import parquet

LOGGER = logging.getLogger(__name__)
SAVE_S = 60.0
ANSWER_S = 2.0  # longest wait for a node
LARGEST = 32 << 20  # bytes of a page
AT_ONCE = 16  # nodes read at the same time


class NodeMonitor:
    """A thread that samples the nodes every few seconds, and writes the samples every minute and at its end.

    Args:
        location: location of the Parquet file.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._history = UtilizationHistory()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._sample_regularly, name="utilisation of the nodes", daemon=True)
        self._warned = False

    def start(self) -> None:
        """Start sampling; samples begin once the driver has joined a cluster."""
        self._thread.start()

    def stop(self, wait_s: float) -> None:
        """Stop sampling; wait at most `wait_s` seconds for the file."""
        self._stop.set()
        self._thread.join(wait_s)

    def save(self) -> None:
        """Write the samples, if there are any; a failure is reported once."""
        with self._lock:
            rows = self._history.rows()
        if not rows:
            return
        try:
            parquet.write_table(table(rows), self._location)
        except Exception as error:  # each bucket's client has its own errors; the next write may succeed
            self._warn(f"can't write {self._location}", error)

    def _sample_regularly(self) -> None:
        saved = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE, "node") as pool:
            while not self._stop.wait(min(SAVE_S, self._history.every_s)):
                self._sample(pool)
                if time.monotonic() - saved > SAVE_S:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _sample(self, pool: ThreadPoolExecutor) -> None:
        ray = joined()
        if ray is None:
            return
        try:
            nodes = [node for node in ray.nodes() if node["Alive"] and node.get("MetricsExportPort")]
        except Exception as error:  # the head is away: the run reports it, if it matters
            self._warn("can't list the nodes", error)
            return
        when = time.time()
        for node, use in zip(nodes, pool.map(read_node, nodes), strict=True):
            if use is not None:
                with self._lock:
                    self._history.add(when, node["NodeID"][:8], node["NodeManagerHostname"], use)

    def _warn(self, what: str, error: Exception) -> None:
        if not self._warned:
            LOGGER.warning("%s: %s: %s", what, type(error).__name__, error)
        self._warned = True


def joined() -> Any:
    """The module ray if this process has joined a cluster, else none; safe to call from any thread."""
    ray = sys.modules.get("ray")  # importing it here would race with the main thread's import
    is_initialized = getattr(ray, "is_initialized", None)
    return ray if is_initialized is not None and is_initialized() else None


def read_node(node: dict[str, Any]) -> Utilization | None:
    """The utilisation of one of ray.nodes(); none if it doesn't answer in time, e.g. a node that is just starting."""
    connection = http.client.HTTPConnection(node["NodeManagerAddress"], node["MetricsExportPort"], timeout=ANSWER_S)
    try:
        connection.request("GET", "/metrics")
        return parse(connection.getresponse().read(LARGEST).decode())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
