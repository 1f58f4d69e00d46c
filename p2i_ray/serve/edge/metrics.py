"""Prometheus metrics, and a log with one line of JSON a request.

No line holds a token, a path of this machine, a client's file name or an exception's text.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

LOGGER = "p2i_ray.serve"
SECONDS_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
FRAMES = 6  # stack frames of our own code logged with an unexpected exception


class HTTPMetrics:
    """The metrics of one application, and its log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "p2i_http_requests", "Requests by route and status", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "p2i_http_request_duration_seconds",
            "Seconds from a request's first byte to its response's last",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "p2i_request_stage_duration_seconds",
            "Seconds of each stage of a request or a batch job's item",
            ["stage"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge("p2i_http_requests_in_flight", "Requests being answered", registry=self.registry)
        self._images = Counter(
            "p2i_generated_images", "Images painted, for requests or jobs", ["source"], registry=self.registry
        )
        self._candidates = Counter(
            "p2i_candidates",
            "Images that were assessed, by what the request accepts and whether they were accepted",
            ["accept", "outcome"],
            registry=self.registry,
        )
        self._refusals = Counter(
            "p2i_refused_candidates", "Reasons for which images were refused", ["reason"], registry=self.registry
        )
        self._candidate_seconds = Counter(
            "p2i_candidate_seconds",
            "Seconds of replicas spent on images, by what the request accepts",
            ["accept"],
            registry=self.registry,
        )
        self._reports = Counter("p2i_truth_reports", "Images whose product was measured", registry=self.registry)
        self._faults = Counter(
            "p2i_product_faults", "Faults of the product in measured images", ["fault"], registry=self.registry
        )
        self._items = Counter("p2i_job_items", "Items of batch jobs, by outcome", ["outcome"], registry=self.registry)
        self._storage_failing = Gauge(
            "p2i_job_storage_failing", "Results of batch jobs that can't be written now", registry=self.registry
        )
        self._log = logging.getLogger(LOGGER)

    def include(self, collectors: Iterable[Collector]) -> None:
        """Add other modules' collectors."""
        for collector in collectors:
            self.registry.register(collector)

    def exposition(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage: upload, decode, cutout, paint, finish, truth, critique, judge, style, encode."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - begin)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request as in flight."""
        with self._in_flight.track_inprogress():
            yield

    def generated(self, images: int, source: str) -> None:
        """Count images; the source is "request" or "job"."""
        self._images.labels(source).inc(images)

    def took(self, seconds: float, accept: str) -> None:
        """Count the seconds that replicas spent on images of a request that accepts `accept`."""
        self._candidate_seconds.labels(accept).inc(seconds)

    def reported(self, faults: Iterable[str]) -> None:
        """Count an image whose product was measured, and its faults."""
        self._reports.inc()
        for fault in faults:
            self._faults.labels(fault).inc()

    def assessed(self, accept: str, reasons: Iterable[Sequence[str]]) -> None:
        """Count assessed images of a request that accepts `accept`, by the reasons for which each is refused."""
        for why in reasons:
            self._candidates.labels(accept, "refused" if why else "accepted").inc()
            for reason in why:
                self._refusals.labels(reason).inc()

    def item(self, outcome: str) -> None:
        """Count an item of a batch job: "done" or "failed"."""
        self._items.labels(outcome).inc()

    def storage_fails(self, error: BaseException) -> None:
        """Count and log that a result of a batch job can't be written, and why."""
        self._storage_failing.inc()
        said = getattr(error, "strerror", None) or type(error).__name__
        self.log("a batch job's result can't be written; it is tried again", logging.ERROR, error=said)

    def storage_works(self) -> None:
        """Take back `storage_fails`."""
        self._storage_failing.dec()
        self.log("a batch job's result is written again")

    def request(self, method: str, route: str, status: int, seconds: float, **more: Any) -> None:
        """Count and log a finished request; the route is its pattern, not what the client sent."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self.log("request", method=method, route=route, status=status, seconds=round(seconds, 4), **more)

    def log(self, event: str, level: int = logging.INFO, **fields: Any) -> None:
        """Write one line of JSON."""
        self._log.log(level, json.dumps({"event": event, **fields}, ensure_ascii=True, default=str))

    def failure(self, error: BaseException, **fields: Any) -> None:
        """Log an internal error: the exception's type and where in our code it came from; not its text."""
        frames = [
            f"{frame.filename.replace(chr(92), '/').rpartition('/p2i_ray/')[2]}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if "/p2i_ray/" in frame.filename
        ]
        self.log("failure", logging.ERROR, error=type(error).__name__, at=frames[-FRAMES:], **fields)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f'{{"time": "{when}", "level": "{record.levelname.lower()}", {record.getMessage()[1:]}'


class RecentLines(logging.Handler):
    """The log's last lines, for another process that asks for those it hasn't seen."""

    def __init__(self, capacity: int = 10_000) -> None:
        super().__init__()
        self.setFormatter(_Line())
        self._lines: deque[str] = deque(maxlen=capacity)
        self._count = 0  # lines so far

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(self.format(record))
        self._count += 1

    def after(self, seen: int) -> tuple[int, list[str]]:
        """The number of lines so far, and those after the first `seen`, as far as they are kept."""
        with self.lock or nullcontext():
            fresh = min(self._count - seen, len(self._lines))
            return self._count, list(self._lines)[len(self._lines) - fresh :]


def log_to(stream: TextIO | None = None) -> logging.Handler:
    """Write the log to a stream (none: stderr), one JSON object a line; returns the handler, to take it away again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Line())
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # the root logger's handlers would print each line again
    logger.addHandler(handler)
    return handler
