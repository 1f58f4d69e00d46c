"""vLLM's arguments and environment from the judge's settings; a bare vllm.LLM takes the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from p2i_ray.cluster.resources import GIB
from p2i_ray.config import JudgeConfig
from p2i_ray.judge.requests.exemplars import MAX_EXEMPLARS

CPU_KV_CACHE_GB = 1
PATCHES = 32  # pixels along a side of the largest patch, merged
PICTURE_CACHE_GB = 0.25  # of preprocessed pictures: holds the exemplars of a step, which come with every sample


def engine_arguments(settings: JudgeConfig, seed: int, side: int | None = None) -> dict[str, Any]:
    """The arguments of an engine.

    Args:
        settings: the judge's.
        seed: of the engine.
        side: longest side of the pictures that it will see, pixels (none: not known).
    """
    return {
        "model": settings.model,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "dtype": settings.dtype,
        "quantization": settings.quantization,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "enforce_eager": settings.enforce_eager,
        "enable_prefix_caching": settings.enable_prefix_caching,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        # Fixed on a fraction of a GPU, not measured: while an engine starts, others on the GPU take and free memory.
        "kv_cache_memory_bytes": settings.kv_cache_gb * GIB
        if 0 < settings.num_gpus < 1 and settings.kv_cache_gb
        else None,
        "limit_mm_per_prompt": {"image": 1 + MAX_EXEMPLARS + settings.show_cutout, "video": 0},
        "mm_processor_kwargs": picture_size(settings.model, side) if side else None,
        "mm_processor_cache_gb": PICTURE_CACHE_GB if settings.enable_prefix_caching else 0,
        "logprobs_mode": "processed_logprobs",  # after the constraint: the digits alone sum to one
        "structured_outputs_config": {"backend": "xgrammar"},
        "disable_log_stats": True,
        "seed": seed % 2**31,
    }


def picture_size(model: str, side: int) -> dict[str, Any] | None:
    """The processor's limits of a picture's area, pixels, for pictures with so long a side; none: its own suit.

    Qwen-VL's processors take up to 16 million pixels, and an engine reserves memory and tokens for the largest picture
    that its processor takes. Ours are smaller, and are seen as they would be without the limit.
    """
    config = _image_processor(Path(model))
    declared = config.get("size") or {}
    smallest = config.get("min_pixels") or declared.get("shortest_edge")
    largest = config.get("max_pixels") or declared.get("longest_edge")
    if not str(config.get("image_processor_type")).startswith("Qwen2VLImageProcessor") or not (smallest and largest):
        return None
    # Sides are rounded to whole patches; a small picture is enlarged, a narrow one to at most four times the smallest.
    needed = max((side + PATCHES) ** 2, 4 * smallest)
    return {"size": {"shortest_edge": smallest, "longest_edge": needed}} if needed < largest else None


def _image_processor(folder: Path) -> dict[str, Any]:
    """The settings of a model's image processor; empty where there are none, as for an id on the hub."""
    for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text("utf-8"))
            if isinstance(config := found.get(key) if key else found, dict):
                return config
    return {}


def engine_environment(settings: JudgeConfig) -> dict[str, str]:
    """The engine's environment variables, which vLLM reads at import."""
    quiet = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    if settings.num_gpus:
        return quiet
    return {
        **quiet,
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # worker and engine in one process, which starts faster
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": str(settings.kv_cache_gb or CPU_KV_CACHE_GB),
        "OMP_NUM_THREADS": str(max(1, math.floor(settings.num_cpus))),
    }
