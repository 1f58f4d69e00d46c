"""Share GPUs between the judge and the other steps: engines keep a fraction of each GPU, the other steps take the rest.

So engines start once per run, rows are encoded while others are scored, and images are criticised while others are
sampled, without a step that waits for GPUs. The engines' fraction is more than half: no two of them fit on one GPU,
and while they are up, no two processes of another step do either.
"""

from __future__ import annotations

from p2i_ray.config import Config
from p2i_ray.errors import UserError

SPARE = 0.05  # of a GPU's memory: used by CUDA itself, in no process's fraction
OTHERS = ("features", "train", "generate", "evaluate")


def with_shared_gpus(config: Config) -> Config:
    """The settings as the loop's steps use them: with idr.judge_gpu_fraction each step reserves its fraction of GPUs.

    Raises:
        UserError: GPUs can't be shared with these settings.
    """
    fraction = config.idr.judge_gpu_fraction
    if fraction is None or not config.idr.judged:
        return config
    _check(config)
    memory = min(config.judge.gpu_memory_utilization, round(fraction - SPARE, 4))
    engines = {"num_gpus": fraction, "keep_warm": True, "gpu_memory_utilization": memory}
    groups = {"judge": config.judge.model_copy(update=engines)}
    for name in OTHERS:
        group = getattr(config, name)
        groups[name] = group.model_copy(update={"num_gpus": round(group.num_gpus * (1 - fraction), 4)})
    if (held_out := config.held_out_judge) and held_out.num_gpus and not held_out.hosted.url:
        rest = round(1 - fraction, 4)  # of each GPU, while no other step has it
        memory = min(held_out.gpu_memory_utilization, round(rest - SPARE, 4))
        own = config.evaluate.judge.model_copy(update={"num_gpus": rest, "gpu_memory_utilization": memory})
        groups["evaluate"] = groups["evaluate"].model_copy(update={"judge": own})
    return config.model_copy(update=groups)


def _check(config: Config) -> None:
    judge = config.judge
    if judge.hosted.url or judge.num_gpus != 1 or judge.tensor_parallel_size != 1:
        raise UserError(
            "idr.judge_gpu_fraction needs engines of one GPU each: judge.num_gpus=1, judge.tensor_parallel_size=1 and "
            "no judge.hosted.url; set idr.judge_gpu_fraction=null, or change these"
        )
    if judge.kv_cache_gb is None:
        raise UserError(
            "idr.judge_gpu_fraction needs judge.kv_cache_gb: what an engine measures while others are on its GPU is "
            "not to be relied on"
        )
    most = max(config.features.num_workers, config.train.num_workers, config.generate.num_workers)
    if judge.replicas < most or (judge.max_replicas or judge.replicas) > judge.replicas:
        raise UserError(
            f"idr.judge_gpu_fraction needs an engine on every GPU: judge.replicas={judge.replicas}, and a step has "
            f"{most} workers; set judge.replicas={most} and leave judge.max_replicas out"
        )
    for name in OTHERS:
        if getattr(config, name).num_gpus not in (0, 1):
            raise UserError(
                f"idr.judge_gpu_fraction shares whole GPUs, and {name}.num_gpus={getattr(config, name).num_gpus:g}; "
                "give 1 or 0, or set idr.judge_gpu_fraction=null"
            )
    held_out = config.held_out_judge
    if held_out and not held_out.hosted.url and (held_out.num_gpus not in (0, 1) or held_out.tensor_parallel_size != 1):
        raise UserError(
            "idr.judge_gpu_fraction leaves the held-out judge a part of each GPU: give evaluate.judge.num_gpus=1 or 0 "
            "and evaluate.judge.tensor_parallel_size=1, or set idr.judge_gpu_fraction=null"
        )
    if judge.cascade.clip and judge.cascade.num_gpus:
        raise UserError(
            "idr.judge_gpu_fraction leaves no GPU for a cascade beside the engines; set judge.cascade.num_gpus=0, or "
            "idr.judge_gpu_fraction=null"
        )
