"""One driver process that works on a run, and the record that it keeps of itself meanwhile.

A thread writes the record every few seconds and soon after each change, so that other processes see the state of the
run, also after the driver was killed. A bucket that is slow or gone delays the record, never the run.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType

from p2i_ray.errors import one_line
from p2i_ray.run import attempt_record as records
from p2i_ray.run.attempt_record import AttemptRecord, CurrentStep
from p2i_ray.run.gauges import RunGauges
from p2i_ray.run.node_metrics import NodeMonitor, joined
from p2i_ray.run.spans import Kind, Span
from p2i_ray.run.throughput import Throughput
from p2i_ray.storage import locations

LOGGER = logging.getLogger(__name__)
HEARTBEAT_S = 5.0  # longest time between two records
SHORTEST_S = 1.0  # shortest time: steps may follow each other at once, and buckets limit writes of one object
LAST_S = 30.0  # longest wait for the last record


class Attempt:
    """A context manager that keeps the record from its begin to its end. Its methods may be called by any thread.

    Outside of the context, spans are recorded and nothing is written.

    Args:
        run_dir: location of the run folder.
        heartbeat_s: longest time between two records, seconds.
    """

    def __init__(self, run_dir: str, heartbeat_s: float = HEARTBEAT_S) -> None:
        now = time.time()
        name = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
        place = locations.join(run_dir, records.FOLDER, name)
        self.location = f"{place}.json"
        self._run_dir = run_dir
        self._heartbeat_s = heartbeat_s
        self._record = AttemptRecord(host=socket.gethostname(), pid=os.getpid(), began=now, seen=now)
        self._throughput = Throughput(now)
        self._gauges = RunGauges(run_dir)
        self._nodes = NodeMonitor(f"{place}.parquet")
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._changed, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._warned = False
        self._earlier: list[AttemptRecord] = []

    @contextmanager
    def span(self, kind: Kind, round_number: int, name: str) -> Iterator[None]:
        """Record the block's duration; a step also becomes the driver's current step."""
        with self._lock:
            span = Span(kind=kind, round=round_number, name=name, began=time.time())
            self._record.spans.append(span)
            if kind == "step":
                self._record.now, self._throughput = (
                    CurrentStep(round=round_number, step=name, began=span.began),
                    Throughput(span.began),
                )
        self._changed.set()
        try:
            yield
        finally:
            with self._lock:
                span.ended = time.time()
                if kind == "step":
                    self._record.now = None
            self._changed.set()

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Record the duration of a start (of Ray, of engines), in the round of the latest step."""
        with self._lock:
            steps = [span.round for span in self._record.spans if span.kind == "step"]
        with self.span("start", steps[-1] if steps else 0, name):
            yield

    def add(self, span: Span) -> None:
        """Record a span that became known afterwards."""
        with self._lock:
            self._record.spans.append(span)
        self._changed.set()

    @contextmanager
    def working(self, total: int | None, unit: str = "rows", images: int = 0) -> Iterator[Callable[[int], None]]:
        """Record the progress of the current step; yield the function to call with the number of units just done.

        Args:
            total: units to do (none: not known).
            unit: name of the units.
            images: images that are sampled or learned from per unit.
        """
        with self._lock:
            if self._record.now:
                self._record.now = self._record.now.model_copy(update={"total": total, "unit": unit, "images": images})
            throughput = self._throughput

        def progress(done: int) -> None:
            with self._lock:
                throughput.add(done, time.time())

        yield progress

    def saw(self, set_aside: int, kept_fraction: float | None) -> None:
        """Record the rows set aside so far, and the fraction that the newest selection kept, 0..1."""
        with self._lock:
            self._record.set_aside, self._record.kept_fraction = set_aside, kept_fraction

    def record(self) -> AttemptRecord:
        """The record as of now."""
        with self._lock:
            now = time.time()
            if self._record.ended is None:
                self._record.seen = now
            if self._record.now:
                self._record.now.done, self._record.now.rate = self._throughput.done, self._throughput.rate(now)
            return self._record.model_copy(deep=True)

    def account(self) -> records.TimeAccount | None:
        """The time account of all attempts so far; none if none was recorded."""
        mine = [self.record()] if self._thread else []
        return records.account([*self._earlier, *mine]) if self._earlier or mine else None

    def flush(self) -> None:
        """Write the record now."""
        self._write()
        self._nodes.save()

    def __enter__(self) -> Attempt:
        self._earlier = records.read(self._run_dir)
        self._record.began = time.time()
        self._changed.set()
        self._thread = threading.Thread(target=self._write_regularly, name="record of the attempt", daemon=True)
        self._thread.start()
        self._nodes.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._record.ended = self._record.seen = time.time()
            self._record.outcome = "done" if error is None else f"stopped: {_where_and_what(error)}"
        self._stop.set()
        self._changed.set()
        self._nodes.stop(LAST_S)
        assert self._thread is not None
        self._thread.join(LAST_S)
        if self._thread.is_alive():
            LOGGER.warning(
                "%s takes longer than %.0f s to write; the run's end is not on record", self.location, LAST_S
            )

    def _write_regularly(self) -> None:
        while not self._stop.is_set():
            self._changed.wait(self._heartbeat_s)
            self._changed.clear()
            self._write()
            self._stop.wait(SHORTEST_S)
        self._write()

    def _write(self) -> None:
        with self._writing:
            if self._record.job is None:
                self._record.job = _job()
            record = self.record()
            self._gauges.show(record)
            try:
                locations.write_text(self.location, record.model_dump_json(indent=1))
            except Exception as error:  # each bucket's client has its own errors; the next write may succeed
                if not self._warned:
                    LOGGER.warning("can't write %s: %s: %s", self.location, type(error).__name__, error)
                self._warned = True


def _job() -> str | None:
    """Ray's id of this driver, once it has joined a cluster."""
    ray = joined()
    return ray.get_runtime_context().get_job_id() if ray else None


def _where_and_what(error: BaseException) -> str:
    """An exception as one line, after the step that run/folder.py noted on it."""
    what = "interrupted" if isinstance(error, KeyboardInterrupt) else one_line(error)
    return ": ".join([*getattr(error, "__notes__", []), what])
