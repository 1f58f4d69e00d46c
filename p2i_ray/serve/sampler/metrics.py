"""Prometheus metrics of the sampler: a replica's, exported by Ray, and its client's, exported by the HTTP side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)  # boundaries of the histograms
SECONDS_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ReplicaMetrics:
    """A replica's metrics on Ray's Prometheus endpoint, `ray_` before each name."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self._waiting = Gauge("p2i_sampler_waiting_requests", "Requests that wait for a batch in this replica.")
        self._queue = Histogram(
            "p2i_sampler_queue_seconds", "Seconds that each request waited for its batch.", list(SECONDS_BUCKETS)
        )
        self._batch = Histogram("p2i_sampler_batch_images", "Images of each batch.", boundaries=list(BATCH_BUCKETS))
        self._seconds = Histogram(
            "p2i_sampler_batch_stage_seconds", "Seconds of each batch's stages.", list(SECONDS_BUCKETS), ("stage",)
        )
        self._requests = Counter(
            "p2i_sampler_requests", "Requests, by outcome: painted, failed or cancelled.", ("outcome",)
        )

        self._models = Counter(
            "p2i_sampler_model_changes", "Changed model folders, by outcome: loaded or refused.", ("outcome",)
        )

    def model_change(self, outcome: str) -> None:
        """Count a changed model folder: "loaded", or "refused" (the old model stays in use)."""
        self._models.inc(1, {"outcome": outcome})

    def waiting(self, requests: int) -> None:
        """Set the number of waiting requests."""
        self._waiting.set(requests)

    def queued(self, waited_s: list[float]) -> None:
        """Observe the queue times of a batch's requests, seconds."""
        for seconds in waited_s:
            self._queue.observe(max(seconds, 1e-9))

    def batch(self, images: int, waiting: int, seconds: dict[str, float]) -> None:
        """Observe a finished batch: its size, the requests that wait then, and its stages' seconds."""
        self._batch.observe(images)
        self._waiting.set(waiting)
        for stage, duration in seconds.items():
            self._seconds.observe(max(duration, 1e-9), {"stage": stage})

    def request(self, outcome: str) -> None:
        """Count a request."""
        self._requests.inc(1, {"outcome": outcome})


class ClientMetrics:
    """Prometheus collectors of the HTTP side, one observation an image; iterate over them to register them."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.in_flight = Gauge("p2i_sampler_in_flight_images", "Images that clients wait for", registry=None)
        self.batch = Histogram(
            "p2i_sampler_image_batch_images",
            "Images in the batch that each image was painted in",
            buckets=BATCH_BUCKETS,
            registry=None,
        )
        self.seconds = Histogram(
            "p2i_sampler_image_stage_seconds",
            "Seconds that each image spent in a stage",
            ["stage"],
            buckets=SECONDS_BUCKETS,
            registry=None,
        )
        self.requests = Counter(
            "p2i_sampler_client_requests",
            "Requests to the sampler, by outcome: painted, refused, late, cancelled, lost (sent again)",
            ["outcome"],
            registry=None,
        )

    def __iter__(self) -> Iterator[MetricWrapperBase]:
        return iter((self.in_flight, self.batch, self.seconds, self.requests))
