"""Utilisation of nodes: read from a node's metrics page, kept over time, written as a small table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from p2i_ray.storage import locations

EVERY_S = 5.0  # the interval at which nodes' agents update their pages
MOST = 2000  # intervals that are kept; when there are more, neighbours are merged
SERIES = re.compile(
    r"^ray_(node_cpu_utilization|node_cpu_count|node_gpus_utilization|resources)\{(.*)\} (\S+)$", re.MULTILINE
)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Utilization(NamedTuple):
    """Utilisation of a node; fractions are 0..1, none where unknown."""

    cpu: float | None
    gpu: float | None  # mean of its GPUs
    cpus: int
    gpus: int
    reserved_cpu: float | None  # fraction of the logical CPUs that Ray has assigned
    reserved_gpu: float | None


class UtilizationSample(NamedTuple):
    """A node's utilisation over some seconds."""

    began: float  # UTC, epoch seconds
    seconds: float
    node: str  # the first eight digits of Ray's id
    host: str
    use: Utilization


def parse(page: str) -> Utilization:
    """Read a node's utilisation from its metrics page."""
    cpu, cpus, gpus, resources = None, 0, list[float](), dict[tuple[str, str], float]()
    for name, labels, value in SERIES.findall(page):
        if name == "node_cpu_utilization":
            cpu = min(1.0, float(value) / 100) or None  # 0 before the agent's first update; may exceed 100
        elif name == "node_cpu_count":
            cpus = int(float(value))
        elif name == "node_gpus_utilization":
            gpus.append(float(value) / 100)
        else:
            tags = dict(LABEL.findall(labels))
            resources[tags.get("Name", ""), tags.get("State", "")] = float(value)
    cpus_reserved, gpus_reserved = (
        _share(resources.get((name, "USED"), 0), resources.get((name, "AVAILABLE"), 0)) for name in ("CPU", "GPU")
    )
    return Utilization(
        cpu=cpu, gpu=_mean(gpus), cpus=cpus, gpus=len(gpus), reserved_cpu=cpus_reserved, reserved_gpu=gpus_reserved
    )


def _share(used: float, available: float) -> float | None:
    return used / (used + available) if used + available else None


class UtilizationHistory:
    """Utilisation over time in bounded space: the longer a run, the longer the intervals.

    Args:
        every_s: first length of an interval, seconds.
        most: number of intervals that are kept.
    """

    def __init__(self, every_s: float = EVERY_S, most: int = MOST) -> None:
        self.every_s = every_s
        self._most = most
        # interval -> (node, host) -> samples
        self._samples: dict[int, dict[tuple[str, str], list[Utilization]]] = {}

    def add(self, when: float, node: str, host: str, use: Utilization) -> None:
        """Add a sample of a node."""
        self._samples.setdefault(int(when // self.every_s), {}).setdefault((node, host), []).append(use)
        while len(self._samples) > self._most:
            self._merge()

    def rows(self) -> list[UtilizationSample]:
        """The mean of each interval and node, by time."""
        return [
            UtilizationSample(began=moment * self.every_s, seconds=self.every_s, node=node, host=host, use=mean(seen))
            for moment, nodes in sorted(self._samples.items())
            for (node, host), seen in sorted(nodes.items())
        ]

    def _merge(self) -> None:
        joined: dict[int, dict[tuple[str, str], list[Utilization]]] = {}
        for moment, nodes in self._samples.items():
            for who, seen in nodes.items():
                joined.setdefault(moment // 2, {}).setdefault(who, []).append(mean(seen))
        self._samples, self.every_s = joined, 2 * self.every_s


def coarser(rows: Sequence[UtilizationSample], most: int) -> list[UtilizationSample]:
    """The same samples in at most `most` intervals."""
    moments = UtilizationHistory(max((row.seconds for row in rows), default=EVERY_S), most)
    for row in rows:
        moments.add(row.began, row.node, row.host, row.use)
    return moments.rows()


def mean(uses: Sequence[Utilization]) -> Utilization:
    """The mean of each fraction over the samples in which it is known."""
    cpu, gpu, _, _, cpus_reserved, gpus_reserved = map(_mean, zip(*uses, strict=True))
    cpus, gpus = max(use.cpus for use in uses), max(use.gpus for use in uses)
    return Utilization(cpu=cpu, gpu=gpu, cpus=cpus, gpus=gpus, reserved_cpu=cpus_reserved, reserved_gpu=gpus_reserved)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def table(rows: Sequence[UtilizationSample]) -> Any:
    """Samples as a pyarrow table; `read` reads it."""
    import pyarrow as pa

    fraction = pa.float32()
    schema = pa.schema(
        {
            "began": pa.float64(),
            "seconds": pa.float64(),
            "node": pa.string(),
            "host": pa.string(),
            "cpu": fraction,
            "gpu": fraction,
            "cpus": pa.int32(),
            "gpus": pa.int32(),
            "reserved_cpu": fraction,
            "reserved_gpu": fraction,
        }
    )
    flat = [(*row[:4], *row.use) for row in rows]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in flat], schema=schema)


def read(location: str) -> list[UtilizationSample]:
    """Read the samples of a run, by time; empty if there is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not locations.exists(location):
        return []
    rows = pq.read_table(pa.BufferReader(locations.read_bytes(location))).to_pylist()
    uses = (Utilization(**{key: row[key] for key in Utilization._fields}) for row in rows)
    return [
        UtilizationSample(began=row["began"], seconds=row["seconds"], node=row["node"], host=row["host"], use=use)
        for row, use in zip(rows, uses, strict=True)
    ]
