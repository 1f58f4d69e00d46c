"""The lines for a training that failed for want of memory or disk, with what a user can do."""

from __future__ import annotations

import errno
import os

from p2i_ray.cluster import root_cause
from p2i_ray.config import TrainConfig
from p2i_ray.storage.disk_full import REMEDY, disk_full_cause, full_path


def memory_line(error: BaseException, settings: TrainConfig) -> str | None:
    """The line for a worker that ran out of memory, with what lowers its need; none if that isn't what failed."""
    cause = root_cause.memory_line(error)
    if cause is None:
        return None
    return f"a training worker ran out of memory ({cause}); {memory_remedy(settings)}"


def memory_remedy(settings: TrainConfig) -> str:
    """The settings that lower a training worker's memory."""
    remedies = [f"raise train.gradient_accumulation_steps={settings.gradient_accumulation_steps}"]
    if not settings.gradient_checkpointing:
        remedies.append("set train.gradient_checkpointing=true")
    if settings.mixed_precision == "no" and settings.num_gpus:
        remedies.append("set train.mixed_precision=bf16")
    remedies.append(f"raise train.num_workers={settings.num_workers}")
    return f"{', '.join(remedies[:-1])} or {remedies[-1]}"


def disk_full_line(error: BaseException) -> str | None:
    """The line for a disk that was full when a worker wrote a checkpoint; none if that isn't what failed."""
    cause = disk_full_cause(error)
    if cause is None:
        return None
    path = full_path(cause)
    where = f" ({path})" if path else ""
    said = getattr(cause, "strerror", None) or os.strerror(errno.ENOSPC)
    return f"no room for a checkpoint{where}: {said}; {REMEDY}: it goes on from the checkpoint before"
