"""Settings that rows which are there were made with, where those that are added are made with others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# How many rows a task takes and what it reserves changes nothing of them.
NO_MATTER = ("accelerator_type", "batch_size", "memory_gib", "num_cpus", "num_gpus", "rows_per_file")


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings `ingest.…` that had another value, with that value, as setting=value.

    Args:
        before: the group `ingest` of an earlier call, as recorded; what an earlier version lacked is passed over.
        now: that of this call, as JSON has it.
    """
    was, given = dict(_flat(before, "ingest")), dict(_flat(now, "ingest"))
    return [f"{name}={value}" for name, value in sorted(was.items()) if name in given and given[name] != value]


def _flat(group: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Each setting of a group and of the groups in it."""
    for key, value in group.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.{key}")
        elif key not in NO_MATTER:
            yield f"{name}.{key}", value
