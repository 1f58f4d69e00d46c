"""The resources that each step of a run needs: a number of processes, and the bundle that each reserves. Data alone.

A step gives Ray the same bundle that is checked against the nodes, so each number is stated once, in the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from p2i_ray.config import (
    CascadeConfig,
    EvaluateConfig,
    FeatureConfig,
    GenerateConfig,
    JudgeConfig,
    TrainConfig,
)
from p2i_ray.config.base import Reserving
from p2i_ray.config.serve import ScaleConfig, ServeJobConfig
from p2i_ray.storage.parquet import WRITE_CPUS

GIB = 1 << 30
ACCELERATOR = "accelerator_type:"  # prefix of the resource that Ray gives to a node with such accelerators
ACCELERATOR_AMOUNT = 0.001  # of that resource per process: it selects the node and limits nothing


@dataclass(frozen=True)
class ResourceSpec:
    """The resources that one process reserves, all on one node.

    Attributes:
        cpus, gpus: logical CPUs and GPUs, also fractions.
        memory_gib: main memory in GiB; 0: not reserved.
        accelerator_type: as Ray names it, e.g. A100 (none: any node).
    """

    cpus: float = 0
    gpus: float = 0
    memory_gib: float = 0
    accelerator_type: str | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for ray.remote, Ray Data's map_batches and Serve's ray_actor_options."""
        found: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        if self.memory_gib:
            found["memory"] = int(self.memory_gib * GIB)
        if self.accelerator_type:
            found["accelerator_type"] = self.accelerator_type
        return found

    def resources(self) -> dict[str, float]:
        """Resources as nodes, placement groups and the autoscaler count them; without those that aren't reserved."""
        found = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(int(self.memory_gib * GIB))}
        if self.accelerator_type:
            found[f"{ACCELERATOR}{self.accelerator_type}"] = ACCELERATOR_AMOUNT
        return {name: amount for name, amount in found.items() if amount}

    def __str__(self) -> str:
        parts = [f"GPU: {self.gpus:g}" * bool(self.gpus), f"CPU: {self.cpus:g}"]
        parts += [f"memory: {self.memory_gib:g} GiB" * bool(self.memory_gib)]
        parts += [f"accelerator {self.accelerator_type}" if self.accelerator_type else ""]
        return ", ".join(part for part in parts if part)


# The small tasks around the models. They mostly wait for disks, and must find room beside all other processes.
READ = ResourceSpec(cpus=0.25)  # a whole CPU would starve the models of a two-CPU cluster
LOOK_UP = READ
WRITE = ResourceSpec(cpus=WRITE_CPUS)
ASK = ResourceSpec(cpus=0.1)  # sends rows to the judge's engines
FRONT = ResourceSpec(cpus=0.1)  # an application's HTTP ingress: it decodes images, and otherwise waits
HOSTED = ResourceSpec(cpus=0.1)  # an endpoint's client mostly waits
# Ray Train's controller and the actor that reads its rows reserve nothing; they run beside the driver and the workers.


@dataclass(frozen=True)
class StepResources:
    """The resources that a step holds at the same time.

    Attributes:
        step: its name in messages.
        count: least number of processes.
        bundle: resources of each process.
        around: small tasks that must find room, too.
        lower: settings that lower the need.
    """

    step: str
    count: int
    bundle: ResourceSpec
    around: tuple[ResourceSpec, ...]
    lower: tuple[str, ...]

    def bundles(self) -> list[ResourceSpec]:
        """The bundles of all processes."""
        return [self.bundle] * self.count + list(self.around)

    def __str__(self) -> str:
        return f"{self.count} x ({self.bundle})"


Phase = tuple[StepResources, ...]  # held at the same time; the first is the step that runs


def of(settings: Reserving, num_cpus: float, num_gpus: float) -> ResourceSpec:
    """The bundle of a group of settings."""
    return ResourceSpec(num_cpus, num_gpus, settings.memory_gib, settings.accelerator_type)


def engine(settings: JudgeConfig) -> ResourceSpec:
    """The bundle of an engine, or of an endpoint's client; tensor parallelism takes whole GPUs of one node."""
    if settings.hosted.url:
        return HOSTED
    whole = settings.num_gpus and settings.tensor_parallel_size > 1
    return of(settings, settings.num_cpus, settings.tensor_parallel_size if whole else settings.num_gpus)


def judge(settings: JudgeConfig) -> StepResources:
    """The engines, and the tasks that send them rows."""
    count = 1 if settings.hosted.url else settings.replicas  # a single client counts requests and dollars
    lower = ("judge.replicas", "judge.num_gpus", "judge.num_cpus")
    return StepResources(
        step="judge",
        count=count,
        bundle=engine(settings),
        around=(READ, ASK, WRITE),
        lower=_lower(lower, "judge", settings),
    )


def cascade(settings: CascadeConfig) -> StepResources:
    """The CLIP encoder of the cascade, which runs while the engines are up."""
    bundle = of(settings, settings.num_cpus, settings.num_gpus)
    lower = ("judge.cascade.num_workers", "judge.cascade.num_gpus", "judge.cascade.num_cpus")
    return StepResources(
        step="judge.cascade",
        count=settings.num_workers,
        bundle=bundle,
        around=(),
        lower=_lower(lower, "judge.cascade", settings),
    )


def features(settings: FeatureConfig) -> StepResources:
    """The frozen encoders."""
    bundle = of(settings, settings.num_cpus, settings.num_gpus)
    lower = ("features.num_workers", "features.num_gpus", "features.num_cpus")
    around = (READ, LOOK_UP, WRITE)
    return StepResources(
        step="features",
        count=settings.num_workers,
        bundle=bundle,
        around=around,
        lower=_lower(lower, "features", settings),
    )


def train(settings: TrainConfig) -> StepResources:
    """The training processes; as many as an elastic training needs at least."""
    bundle = of(settings, settings.num_cpus, settings.num_gpus)
    lower = ("train.num_workers", "train.min_workers", "train.num_gpus", "train.num_cpus")
    return StepResources(
        step="train",
        count=settings.min_workers or settings.num_workers,
        bundle=bundle,
        around=(),
        lower=_lower(lower, "train", settings),
    )


def generate(settings: GenerateConfig) -> StepResources:
    """The sampling processes."""
    bundle = of(settings, settings.num_cpus, settings.num_gpus)
    lower = ("generate.num_workers", "generate.num_gpus", "generate.num_cpus")
    return StepResources(
        step="generate",
        count=settings.num_workers,
        bundle=bundle,
        around=(READ, WRITE),
        lower=_lower(lower, "generate", settings),
    )


def evaluate(settings: EvaluateConfig) -> StepResources:
    """The measuring task, and the reading tasks that run beside it."""
    bundle = of(settings, settings.num_cpus, settings.num_gpus)
    lower = ("evaluate.num_gpus", "evaluate.num_cpus")
    return StepResources(
        step="evaluate", count=1, bundle=bundle, around=(READ,), lower=_lower(lower, "evaluate", settings)
    )


def generator_service(config: ServeJobConfig) -> Phase:
    """The sampler and, where it is hosted, the judge of the generator service; their fewest replicas, at least one."""
    sampler = _scaled("serve.sampler", config.serve.sampler, replica(config.serve.sampler))
    if not config.serve.judge:
        return (sampler,)
    hosted = bool(config.judge.hosted.url)
    return sampler, _scaled("serve.lmm", config.serve.lmm, HOSTED if hosted else replica(config.serve.lmm))


def chat_service(config: ServeJobConfig) -> Phase:
    """The LMM by itself: a bundle for each GPU of an engine."""
    scale = config.serve.lmm
    need = _scaled("serve.lmm", scale, chat_bundles(config)[0])
    return (replace(need, count=need.count * len(chat_bundles(config))),)


def chat_bundles(config: ServeJobConfig) -> list[ResourceSpec]:
    """The bundles of one engine of the LMM service."""
    scale, parallel = config.serve.lmm, config.judge.tensor_parallel_size
    if not scale.num_gpus:
        return [replica(scale)]
    return [of(scale, scale.num_cpus, 1 if parallel > 1 else scale.num_gpus)] * parallel


def replica(scale: ScaleConfig) -> ResourceSpec:
    """The reservation of one replica of a service."""
    return of(scale, scale.num_cpus, scale.num_gpus)


def _scaled(step: str, scale: ScaleConfig, bundle: ResourceSpec) -> StepResources:
    lower = tuple(f"{step}.{name}" for name in ("min_replicas", "num_gpus", "num_cpus"))
    return StepResources(
        step=step, count=max(1, scale.min_replicas), bundle=bundle, around=(FRONT,), lower=_lower(lower, step, scale)
    )


def scoring(settings: JudgeConfig) -> Phase:
    """The resources that are held while rows are scored."""
    return (judge(settings), *((cascade(settings.cascade),) if settings.cascade.clip else ()))


def bundles(phase: Sequence[StepResources]) -> list[ResourceSpec]:
    """The bundles of a phase. Small tasks are counted for the step that runs alone: a warm judge is idle then."""
    first, *others = phase
    return first.bundles() + [other.bundle for other in others for _ in range(other.count)]


def _lower(names: tuple[str, ...], group: str, settings: Reserving) -> tuple[str, ...]:
    return (
        *names,
        *((f"{group}.memory_gib",) if settings.memory_gib else ()),
        *((f"{group}.accelerator_type",) if settings.accelerator_type else ()),
    )
