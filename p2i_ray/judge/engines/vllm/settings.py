"""vLLM's arguments and environment from the judge's settings; a bare vllm.LLM takes the same."""

from __future__ import annotations

import math
from typing import Any

from p2i_ray.cluster.resources import GIB
from p2i_ray.config import JudgeConfig
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm.pictures import size_limits
from p2i_ray.judge.requests.exemplars import MAX_EXEMPLARS

CPU_KV_CACHE_GB = 1
TEXT_CLASSES = {"qwen3_vl_text": "Qwen3ForCausalLM", "qwen3_vl_moe_text": "Qwen3MoeForCausalLM"}
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
        "mm_processor_kwargs": size_limits(settings, side),
        "hf_overrides": text_overrides(settings.model) or {},
        "mm_processor_cache_gb": PICTURE_CACHE_GB if settings.enable_prefix_caching else 0,
        "logprobs_mode": "processed_logprobs",  # after the constraint: the digits alone sum to one
        "structured_outputs_config": {"backend": "xgrammar"},
        "disable_log_stats": True,
        "seed": seed % 2**31,
    }


def text_overrides(model: str) -> dict[str, Any] | None:
    """Settings that vLLM needs of a model's language part beyond its configuration; none: nothing.

    vLLM 0.29 looks for the part's class in `architectures` of text_config, and transformers has no language model of
    Qwen3-VL's kind to take instead; published folders name a class for the whole model alone.
    """
    text = model_folder.configuration(model).get("text_config")
    if not isinstance(text, dict) or text.get("architectures") or text.get("model_type") not in TEXT_CLASSES:
        return None
    return {"text_config": {"architectures": [TEXT_CLASSES[text["model_type"]]]}}


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
