"""Watching how busy the cluster's nodes are while a run works, whoever keeps them busy.

Asked of the metrics page that every node's agent has for Prometheus: nothing is scheduled, so a node that an
autoscaler wants to take away stays idle in Ray's eyes. A node whose page can't be reached is missing.
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
LARGEST = 32 << 20  # of a page, bytes
AT_ONCE = 16  # nodes asked


class NodeMonitor:
    """A thread that looks at the nodes every few seconds, and writes what it saw every minute and at its end.

    Args:
        location: of the Parquet file.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._moments = UtilizationHistory()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="use of the nodes", daemon=True)
        self._warned = False

    def start(self) -> None:
        """Begin to look, as soon as the driver has joined a cluster."""
        self._thread.start()

    def stop(self, wait_s: float) -> None:
        """Look no more; waits so long for the file."""
        self._stop.set()
        self._thread.join(wait_s)

    def save(self) -> None:
        """Write what was seen, if anything was; a failure is told once."""
        with self._lock:
            rows = self._moments.rows()
        if not rows:
            return
        try:
            parquet.write_table(table(rows), self._location)
        except Exception as error:  # whatever a bucket's client raises: the run goes on, and the next may succeed
            self._warn(f"can't write {self._location}", error)

    def _watch(self) -> None:
        saved = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE, "node") as pool:
            while not self._stop.wait(min(SAVE_S, self._moments.every_s)):
                self._look(pool)
                if time.monotonic() - saved > SAVE_S:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def _look(self, pool: ThreadPoolExecutor) -> None:
        ray = joined()
        if ray is None:
            return
        try:
            nodes = [node for node in ray.nodes() if node["Alive"] and node.get("MetricsExportPort")]
        except Exception as error:  # the head is away or going: the run will tell, if it matters
            self._warn("can't list the nodes", error)
            return
        when = time.time()
        for node, use in zip(nodes, pool.map(ask, nodes), strict=True):
            if use is not None:
                with self._lock:
                    self._moments.add(when, node["NodeID"][:8], node["NodeManagerHostname"], use)

    def _warn(self, what: str, error: Exception) -> None:
        if not self._warned:
            LOGGER.warning("%s: %s: %s", what, type(error).__name__, error)
        self._warned = True


def joined() -> Any:
    """The module ray once this process has joined a cluster, else none; for threads beside the driver's own."""
    ray = sys.modules.get("ray")  # to import it here would race with the driver's own import
    is_initialized = getattr(ray, "is_initialized", None)
    return ray if is_initialized is not None and is_initialized() else None


def ask(node: dict[str, Any]) -> Utilization | None:
    """How busy one of ray.nodes() is; none if it doesn't answer in time, as when it has just come or gone."""
    connection = http.client.HTTPConnection(node["NodeManagerAddress"], node["MetricsExportPort"], timeout=ANSWER_S)
    try:
        connection.request("GET", "/metrics")
        return parse(connection.getresponse().read(LARGEST).decode())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
