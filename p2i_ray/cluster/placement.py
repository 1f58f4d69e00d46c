"""Check that the cluster has room for all steps of a run, and wait until a step finds its room free."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from p2i_ray.cluster import autoscaler, connection, ray_internals
from p2i_ray.cluster.autoscaler import Outlook
from p2i_ray.cluster.bin_packing import EPSILON, Resources, left_over
from p2i_ray.cluster.resources import ACCELERATOR, GIB, Phase, ResourceSpec, StepResources, bundles
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError

SETTLE_S = 10.0  # processes that the step before has stopped take a moment to end
POLL_S = 0.5
REQUEST_EVERY_S = 5.0  # a request expires after 20 s; see autoscaler.request
_on_new_nodes: list[Callable[[], None]] = []


def check(phases: Sequence[Phase]) -> None:
    """Check, before anything runs, that each phase finds room on the cluster's nodes or on those it may grow to.

    Raises:
        UserError: one doesn't; the line says which step, what is missing, and which settings lower the need.
    """
    feasible: list[Sequence[Resources]] = []
    for phase in sorted(phases, key=_size, reverse=True):  # largest first: the autoscaler's answer may start nodes
        wanted = [bundle.resources() for bundle in bundles(phase)]
        if any(not left_over(wanted, known) for known in feasible):
            continue
        if left_over(wanted, totals()) and autoscaler.outlook(wanted) is Outlook.NO:
            raise too_small(phase)
        feasible.append(wanted)


def wait_for(*phase: StepResources) -> None:
    """Wait until there is room for a step beside what is running; print one line where that takes nodes or time.

    Args:
        *phase: the step, and what starts together with it.

    Raises:
        UserError: the cluster is too small and doesn't grow, or it took longer than ray.wait_for_nodes_s.
    """
    wanted = [bundle.resources() for bundle in bundles(phase)]
    limit_s, start, requested_at, reported = connection.settings().wait_for_nodes_s, time.monotonic(), 0.0, False
    while lacking := left_over(wanted, free(), pooled=True):
        waited = time.monotonic() - start
        missing = bool(left_over(wanted, totals()))
        if missing and not reported and autoscaler.outlook(wanted) is Outlook.NO:
            raise too_small(phase)
        if limit_s is not None and waited > limit_s:
            raise UserError(_late(phase[0], lacking, limit_s))
        if missing or waited > SETTLE_S:
            if not connection.started_here() and time.monotonic() - requested_at > REQUEST_EVERY_S:
                autoscaler.request([*reserved(), *wanted])
                requested_at = time.monotonic()
            if not reported:
                say(_waiting(phase[0], lacking))
                reported = True
        time.sleep(POLL_S)
    if reported:
        for callback in _on_new_nodes:
            callback()


def reserved_gpus() -> float:
    """GPUs that are reserved on all nodes together."""
    return sum(amounts.get("GPU", 0) for amounts in reserved())


def wait_until_reserved(before: float, need: StepResources, is_starting: Callable[[], bool]) -> None:
    """Wait until a step that another thread is starting has reserved its GPUs.

    Args:
        before: GPUs that were reserved before.
        need: the step.
        is_starting: false once that start has ended, one way or another.
    """
    while is_starting() and reserved_gpus() < before + need.count * need.bundle.gpus - EPSILON:
        time.sleep(POLL_S)


def at_once(need: StepResources) -> int:
    """Number of a step's tasks that the present nodes have room for when nothing else runs; at least one."""
    wanted = need.bundle.resources().items()
    return max(1, sum(min(int(node.get(name, 0) / amount + EPSILON) for name, amount in wanted) for node in totals()))


def has_room(phase: Phase) -> bool:
    """Whether the present nodes have room for a phase when nothing else runs."""
    return not left_over([bundle.resources() for bundle in bundles(phase)], totals())


def has_room_beside(phase: Phase, other: Phase, *, shared: str, nodes: Sequence[Resources]) -> bool:
    """Whether nodes have room for two phases at once, each with its small tasks.

    Args:
        phase: one of them.
        other: the other one.
        shared: name of a step that is the same processes for both.
        nodes: their resources, as of `totals`.
    """
    alone = [step for step in other if step.step != shared or step not in phase]
    wanted = [*bundles(phase), *(bundles(alone) if alone else [])]
    return not left_over([bundle.resources() for bundle in wanted], nodes)


def on_new_nodes(callback: Callable[[], None]) -> None:
    """Call `callback` whenever a step has waited for nodes, before it uses them; replaces the one before."""
    _on_new_nodes[:] = [callback]


def totals() -> list[Resources]:
    """All resources of each node that takes work."""
    return list(_total_per_node().values())


def free() -> list[Resources]:
    """Unreserved resources of each node that takes work."""
    draining = ray_internals.draining_nodes()
    return [has for node, has in ray_internals.available_per_node().items() if node not in draining]


def reserved() -> list[Resources]:
    """Reserved resources of each node that takes work; nodes without any are left out."""
    available = ray_internals.available_per_node()
    found = []
    for node, total in _total_per_node().items():
        names = [name for name in total if name in ("CPU", "GPU", "memory") or name.startswith(ACCELERATOR)]
        amounts = {name: round(total[name] - available.get(node, {}).get(name, 0), 4) for name in names}
        found.append({name: amount for name, amount in amounts.items() if amount > 0})
    return [amounts for amounts in found if amounts]


def _total_per_node() -> dict[str, Resources]:
    draining = ray_internals.draining_nodes()
    return {node["NodeID"]: node["Resources"] for node in connection.live_nodes() if node["NodeID"] not in draining}


def too_small(phase: Sequence[StepResources]) -> UserError:
    """The UserError for a phase that will never find room."""
    need, *others = phase
    has = totals()
    lacking = left_over([bundle.resources() for bundle in bundles(phase)], has)
    beside = "".join(f" beside {other.step}'s {other}" for other in others)
    lower = [*need.lower, *(["judge.keep_warm"] if any(other.step == "judge" for other in others) else [])]
    only_cpus = connection.started_here() and all(set(bundle) <= {"CPU"} for bundle in lacking)
    more = "raise ray.local_cpus" if only_cpus else "add nodes"
    return UserError(
        f"{need.step} needs {need}{beside}, and the cluster has no room for {_counted(lacking)}: it has "
        f"{_shown(has)} and can't grow to it; lower {' or '.join([', '.join(lower[:-1]), lower[-1]])}, or {more}"
    )


def _waiting(need: StepResources, lacking: Sequence[Resources]) -> str:
    coming = ", ".join(f"{count} x {kind}" for kind, count in autoscaler.starting().items())
    return f"{need.step} waits for nodes with room for {_counted(lacking)}" + (
        f"; on their way: {coming}" * bool(coming)
    )


def _late(need: StepResources, lacking: Sequence[Resources], limit_s: float) -> str:
    coming = ", ".join(f"{count} x {kind}" for kind, count in autoscaler.starting().items()) or "none"
    return (
        f"{need.step} has waited {limit_s:g} s for room for {_counted(lacking)}; nodes on their way: {coming}; "
        f"see `ray status`, lower {need.lower[0]}, or raise ray.wait_for_nodes_s"
    )


def _counted(lacking: Sequence[Resources]) -> str:
    """Bundles as text, e.g. "2 x (GPU: 1, CPU: 4)"."""
    counts = Counter(str(_spec(resources)) for resources in lacking)
    return " and ".join(f"{count} x ({bundle})" for bundle, count in counts.items())


def _shown(nodes: Sequence[Resources]) -> str:
    counts = Counter(str(_spec({**node, "memory": 0})) for node in nodes)
    shown = [f"{count} node{'s' * (count > 1)} with {shape}" for shape, count in counts.items()]
    return " and ".join(shown) or "no nodes"


def _size(phase: Phase) -> tuple[float, float]:
    """GPUs and CPUs of a phase."""
    return sum(bundle.gpus for bundle in bundles(phase)), sum(bundle.cpus for bundle in bundles(phase))


def _spec(resources: Resources) -> ResourceSpec:
    types = [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
    return ResourceSpec(
        cpus=resources.get("CPU", 0),
        gpus=resources.get("GPU", 0),
        memory_gib=round(resources.get("memory", 0) / GIB, 2),
        accelerator_type=types[0] if types else None,
    )
