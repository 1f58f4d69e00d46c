"""Settings that rows which are there were made with, where those that are added are made with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2i_ray.config.loading import flat

# How many rows a task takes and what it reserves changes nothing of them.
NO_MATTER = ("accelerator_type", "batch_size", "memory_gib", "num_cpus", "num_gpus", "rows_per_file")


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings `ingest.…` that had another value, with that value, as setting=value.

    Args:
        before: the group `ingest` of an earlier call, as recorded; what an earlier version lacked is passed over.
        now: that of this call, as JSON has it.
    """
    was, given = ({name: value for name, value in flat(group, "ingest.") if _matters(name)} for group in (before, now))
    return [f"{name}={value}" for name, value in sorted(was.items()) if name in given and given[name] != value]


def _matters(name: str) -> bool:
    return name.rpartition(".")[2] not in NO_MATTER
