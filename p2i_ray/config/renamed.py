"""Settings that had another name: an old name gets an error with the new one, an old run folder is still read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Old dotted name -> new one; a group's name stands for all that is in it. The longest that fits counts.
NAMES: Mapping[str, str] = {
    "painter": "diffusion",
    "forecast": "plan",
    "forecast.kept_share": "plan.kept_fraction",
    "idr.ahead": "idr.overlap",
    "idr.judge_share": "idr.judge_gpu_fraction",
    "idr.keep_share": "idr.keep_fraction",
    "judge.in_flight": "judge.max_num_seqs",
    "judge.prefix_caching": "judge.enable_prefix_caching",
    "judge.hosted.in_flight": "judge.hosted.max_concurrent_requests",
    "judge.cascade.workers": "judge.cascade.num_workers",
    "features.workers": "features.num_workers",
    "train.workers": "train.num_workers",
    "train.accumulation": "train.gradient_accumulation_steps",
    "train.name_dropout": "train.prompt_dropout",
    "train.warmup_share": "train.warmup_ratio",
    "train.dtype": "train.mixed_precision",
    "train.prefetch": "train.prefetch_batches",
    "train.checkpoint_every": "train.checkpointing_steps",
    "train.keep_checkpoints": "train.checkpoints_total_limit",
    "train.tracking.steps": "train.tracking.num_inference_steps",
    "train.tracking.guidance": "train.tracking.guidance_scale",
    "generate.workers": "generate.num_workers",
    "generate.steps": "generate.num_inference_steps",
    "generate.guidance": "generate.guidance_scale",
    "serve.painter": "serve.sampler",
    "serve.painter.ongoing": "serve.sampler.target_ongoing_requests",
    "serve.lmm.ongoing": "serve.lmm.target_ongoing_requests",
    "serve.watch_s": "serve.reload_interval_s",
    "serve.batch_size": "serve.max_batch_size",
    "serve.batch_wait_s": "serve.batch_wait_timeout_s",
}
# What versions did before there was the setting, where today's default is another.
BEFORE: Mapping[str, Any] = {"judge.flaws": ["wrong scene", "plain background", "text overlay", "clutter", "blur"]}
VALUES: Mapping[str, Mapping[Any, Any]] = {"train.dtype": {"fp32": "no"}}  # by old name: old value -> new value


def name(old: str) -> str | None:
    """The new dotted name of a setting; none if it has not been renamed."""
    parts = old.split(".")
    for length in range(len(parts), 0, -1):
        known = ".".join(parts[:length])
        if known in NAMES:
            return ".".join([NAMES[known], *parts[length:]])
    return None


def value(old: str, given: Any) -> Any:
    """The new value for a value that was given under an old name."""
    return VALUES[old].get(given, given) if old in VALUES else given


def brought_up_to_date(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings (dotted name -> value) with present names and values; what the settings' version did is added."""
    return {**BEFORE, **{name(old) or old: value(old, given) for old, given in settings.items()}}
