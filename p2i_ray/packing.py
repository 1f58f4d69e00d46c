"""Which processes find room on which nodes: bundles into bins, largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Resources = Mapping[str, float]
EPSILON = 1e-6  # Ray counts in ten-thousandths
ORDER = ("GPU", "CPU", "memory")  # what is scarce comes first


def left_over(bundles: Sequence[Resources], nodes: Sequence[Resources]) -> list[Resources]:
    """The bundles that find no room when each goes on one node whole; none: all do.

    The largest are placed first, each on the node where it leaves least: so no small task sits on the GPU that an
    engine needs. That is a rule of thumb, exact for bundles of one kind.

    Args:
        bundles: what processes reserve.
        nodes: what nodes have.
    """
    free = [dict(node) for node in nodes]
    without_room = []
    for bundle in sorted(bundles, key=_size, reverse=True):
        fitting = [node for node in free if _fits(bundle, node)]
        if not fitting:
            without_room.append(bundle)
            continue
        chosen = min(fitting, key=_size)
        for name, amount in bundle.items():
            chosen[name] = chosen.get(name, 0) - amount
    return without_room


def _fits(bundle: Resources, node: Resources) -> bool:
    return all(node.get(name, 0) >= amount - EPSILON for name, amount in bundle.items())


def _size(resources: Resources) -> tuple[float, ...]:
    special = sum(amount > 0 for name, amount in resources.items() if name not in ORDER)
    return (*(resources.get(name, 0) for name in ORDER[:1]), special, *(resources.get(name, 0) for name in ORDER[1:]))
