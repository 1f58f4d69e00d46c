"""Room on the cluster: is there enough for all steps of a run, and is it there when a step's turn comes?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from p2i_ray.cluster import autoscaler, connection
from p2i_ray.cluster.autoscaler import Outlook
from p2i_ray.cluster.bin_packing import EPSILON, Resources, left_over
from p2i_ray.cluster.resources import ACCELERATOR, GIB, Phase, ResourceSpec, StepResources, bundles
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError

SETTLE_S = 10.0  # what a step before has stopped takes a moment to be gone
POLL_S = 0.5
ASK_EVERY_S = 5.0  # a request is forgotten after 20 s; see growth.ask
_looks: list[Callable[[], None]] = []  # what is done when nodes have come


def check(phases: Sequence[Phase]) -> None:
    """Check, before anything runs, that each phase finds room on the cluster's nodes or on those it may grow to.

    Raises:
        UserError: one doesn't; the line says which step, what is missing, and which settings lower the need.
    """
    sure: list[Sequence[Resources]] = []  # what is known to find room
    for phase in sorted(phases, key=_size, reverse=True):  # asking may start nodes: first what is likeliest too much
        wanted = [bundle.resources() for bundle in bundles(phase)]
        if any(not left_over(wanted, known) for known in sure):
            continue
        if left_over(wanted, totals()) and autoscaler.outlook(wanted) is Outlook.NO:
            raise too_small(phase)
        sure.append(wanted)


def wait_for(*phase: StepResources) -> None:
    """Return when there is room for a step, beside what else is running; say so once where that takes nodes or time.

    Args:
        phase: the step, and what starts together with it.

    Raises:
        UserError: the cluster is too small and doesn't grow, or it took longer than ray.wait_for_nodes_s.
    """
    wanted = [bundle.resources() for bundle in bundles(phase)]
    limit_s, start, asked_at, told = connection.settings().wait_for_nodes_s, time.monotonic(), 0.0, False
    while lacking := left_over(wanted, free(), pooled=True):
        waited = time.monotonic() - start
        missing = bool(left_over(wanted, totals()))
        if missing and not told and autoscaler.outlook(wanted) is Outlook.NO:
            raise too_small(phase)
        if limit_s is not None and waited > limit_s:
            raise UserError(_late(phase[0], lacking, limit_s))
        if missing or waited > SETTLE_S:
            if not connection.started_here() and time.monotonic() - asked_at > ASK_EVERY_S:
                autoscaler.ask([*used(), *wanted])
                asked_at = time.monotonic()
            if not told:
                say(_waiting(phase[0], lacking))
                told = True
        time.sleep(POLL_S)
    if told:
        for look in _looks:
            look()


def gpus_taken() -> float:
    """GPUs that are reserved on all nodes together."""
    return sum(taken.get("GPU", 0) for taken in used())


def wait_until_taken(before: float, need: StepResources, going: Callable[[], bool]) -> None:
    """Return when a step that somebody else is starting has reserved its GPUs.

    Args:
        before: GPUs that were taken before.
        need: the step.
        going: false once that start has ended, one way or another.
    """
    while going() and gpus_taken() < before + need.count * need.bundle.gpus - EPSILON:
        time.sleep(POLL_S)


def holds(phase: Phase) -> bool:
    """Whether the nodes that are there now have room for a phase, if nothing else runs."""
    return not left_over([bundle.resources() for bundle in bundles(phase)], totals())


def when_nodes_come(look: Callable[[], None]) -> None:
    """Have `look` called whenever a step has waited for nodes, and before it uses them."""
    _looks[:] = [look]


def totals() -> list[Resources]:
    """What each node has, that takes work."""
    return list(_nodes()[0].values())


def free() -> list[Resources]:
    """What each node has left."""
    return list(_nodes()[1].values())


def used() -> list[Resources]:
    """What is taken on each node."""
    all_of, left = _nodes()
    taken = []
    for node, has in all_of.items():
        names = [name for name in has if name in ("CPU", "GPU", "memory") or name.startswith(ACCELERATOR)]
        amounts = {name: round(has[name] - left.get(node, {}).get(name, 0), 4) for name in names}
        taken.append({name: amount for name, amount in amounts.items() if amount > 0})
    return [amounts for amounts in taken if amounts]


def _nodes() -> tuple[dict[str, Resources], dict[str, Resources]]:
    """What each node has, and has left; those that are being drained take no more work."""
    from ray._private.state import state

    leaving = set(state.get_draining_nodes())
    all_of, left = state.total_resources_per_node(), state.available_resources_per_node()
    return (
        {node: has for node, has in all_of.items() if node not in leaving},
        {node: has for node, has in left.items() if node not in leaving},
    )


def too_small(phase: Sequence[StepResources]) -> UserError:
    """The line for a phase that will never find room."""
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
    coming = ", ".join(f"{count} x {kind}" for kind, count in autoscaler.on_their_way().items())
    return f"{need.step} waits for nodes with room for {_counted(lacking)}" + (
        f"; on their way: {coming}" * bool(coming)
    )


def _late(need: StepResources, lacking: Sequence[Resources], limit_s: float) -> str:
    coming = ", ".join(f"{count} x {kind}" for kind, count in autoscaler.on_their_way().items()) or "none"
    return (
        f"{need.step} has waited {limit_s:g} s for room for {_counted(lacking)}; nodes on their way: {coming}; "
        f"see `ray status`, lower {need.lower[0]}, or raise ray.wait_for_nodes_s"
    )


def _counted(lacking: Sequence[Resources]) -> str:
    """Bundles as people read them, e.g. "2 x (GPU: 1, CPU: 4)"."""
    counts = Counter(str(_bundle(resources)) for resources in lacking)
    return " and ".join(f"{count} x ({bundle})" for bundle, count in counts.items())


def _shown(nodes: Sequence[Resources]) -> str:
    counts = Counter(str(_bundle({**node, "memory": 0})) for node in nodes)
    shown = [f"{count} node{'s' * (count > 1)} with {shape}" for shape, count in counts.items()]
    return " and ".join(shown) or "no nodes"


def _size(phase: Phase) -> tuple[float, float]:
    """GPUs and CPUs of a phase."""
    return sum(bundle.gpus for bundle in bundles(phase)), sum(bundle.cpus for bundle in bundles(phase))


def _bundle(resources: Resources) -> ResourceSpec:
    marks = [name.removeprefix(ACCELERATOR) for name in resources if name.startswith(ACCELERATOR)]
    return ResourceSpec(
        resources.get("CPU", 0), resources.get("GPU", 0), round(resources.get("memory", 0) / GIB, 2),
        marks[0] if marks else None,
    )  # fmt: skip
