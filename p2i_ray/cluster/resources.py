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
from p2i_ray.storage.parquet import RETRIES, WRITE_CPUS

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
        """Keyword arguments for ray.remote and Serve's ray_actor_options."""
        found: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        if self.memory_gib:
            found["memory"] = int(self.memory_gib * GIB)
        if self.accelerator_type:
            found["accelerator_type"] = self.accelerator_type
        return found

    def task_options(self) -> dict[str, Any]:
        """Keyword arguments for Ray Data's map_batches with a function."""
        return {**self.options(), "max_retries": RETRIES}

    def actor_options(self) -> dict[str, Any]:
        """Keyword arguments for Ray Data's map_batches with a class; an actor may be restarted for ever."""
        return {**self.options(), "max_task_retries": RETRIES}

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
    """The engines of the judge, or of the held-out judge, and the tasks that send them rows."""
    count = 1 if settings.hosted.url else settings.replicas  # a single client counts requests and dollars
    own = ("replicas", "num_gpus", "num_cpus")
    return StepResources(
        step=settings.group,
        count=count,
        bundle=engine(settings),
        around=(READ, ASK, WRITE),
        lower=tuple(f"{settings.group}.{name}" for name in own) + _set_ones("judge", settings),
    )


def cascade(settings: CascadeConfig) -> StepResources:
    """The CLIP encoder of the cascade, which runs while the engines are up."""
    return _workers("judge.cascade", settings, settings.num_workers)


def features(settings: FeatureConfig) -> StepResources:
    """The frozen encoders."""
    return _workers("features", settings, settings.num_workers, around=(READ, LOOK_UP, WRITE))


def train(settings: TrainConfig) -> StepResources:
    """The training processes; as many as an elastic training needs at least."""
    count = settings.min_workers or settings.num_workers
    return _workers("train", settings, count, counts=("num_workers", "min_workers"))


def generate(settings: GenerateConfig) -> StepResources:
    """The sampling processes."""
    return _workers("generate", settings, settings.num_workers, around=(READ, WRITE))


def evaluate(settings: EvaluateConfig) -> StepResources:
    """The measuring task, and the reading tasks that run beside it."""
    return _workers("evaluate", settings, 1, around=(READ,), counts=())


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
    names = ("min_replicas", "num_gpus", "num_cpus")
    return StepResources(
        step=step,
        count=max(1, scale.min_replicas),
        bundle=bundle,
        around=(FRONT,),
        lower=_lower(step, names, scale),
    )


def scoring(settings: JudgeConfig) -> Phase:
    """The resources that are held while rows are scored."""
    return (judge(settings), *((cascade(settings.cascade),) if settings.cascade.clip else ()))


def bundles(phase: Sequence[StepResources]) -> list[ResourceSpec]:
    """The bundles of a phase. Small tasks are counted for the step that runs alone: a warm judge is idle then."""
    first, *others = phase
    return first.bundles() + [other.bundle for other in others for _ in range(other.count)]


def _workers(
    group: str,
    settings: CascadeConfig | FeatureConfig | TrainConfig | GenerateConfig | EvaluateConfig,
    count: int,
    *,
    around: tuple[ResourceSpec, ...] = (),
    counts: tuple[str, ...] = ("num_workers",),
) -> StepResources:
    """So many processes of a group of settings, also the step's name; `counts` are its settings of how many."""
    return StepResources(
        step=group,
        count=count,
        bundle=of(settings, settings.num_cpus, settings.num_gpus),
        around=around,
        lower=_lower(group, (*counts, "num_gpus", "num_cpus"), settings),
    )


def _lower(group: str, names: tuple[str, ...], settings: Reserving) -> tuple[str, ...]:
    """The settings of a group that lower what it needs; those of memory and accelerators where they are set."""
    return tuple(f"{group}.{name}" for name in names) + _set_ones(group, settings)


def _set_ones(group: str, settings: Reserving) -> tuple[str, ...]:
    return tuple(f"{group}.{name}" for name in ("memory_gib", "accelerator_type") if getattr(settings, name))
