"""Settings that rows which are there were made with, where those that are added are made with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2i_ray.config import Effect
from p2i_ray.config.loading import effects, flat
from p2i_ray.data.sources.tasks import IngestConfig


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings `ingest.…` that had another value, with that value, as setting=value.

    Args:
        before: the group `ingest` of an earlier call, as recorded; what an earlier version lacked is passed over.
        now: that of this call, as JSON has it.
    """
    was, given = dict(flat(before, "ingest.")), dict(flat(now, "ingest."))
    changes_nothing = {name for name, effect in effects(IngestConfig, "ingest.") if effect is Effect.RUNTIME}
    there = sorted((was.keys() & given.keys()) - changes_nothing)
    return [f"{name}={was[name]}" for name in there if given[name] != was[name]]
