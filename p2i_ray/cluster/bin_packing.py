"""Which processes find room on which nodes: bundles into bins, largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Resources = Mapping[str, float]
EPSILON = 1e-6  # Ray counts in ten-thousandths
ORDER = ("GPU", "CPU", "memory")  # what is scarce comes first


def left_over(bundles: Sequence[Resources], nodes: Sequence[Resources], pooled: bool = False) -> list[Resources]:
    """The bundles that find no room when each goes on one node whole; none: all do.

    The largest are placed first, each on the node where it leaves least: so no small task sits on the GPU that an
    engine needs. That is a rule of thumb, exact for bundles of one kind. Less than one GPU is a part of a single one,
    as Ray gives it away.

    Args:
        bundles: what processes reserve.
        nodes: what nodes have.
        pooled: the nodes' GPUs are what is left of an unknown number of them: a part of one may be put together.
    """
    free = [_Node(node, pooled) for node in nodes]
    without_room = []
    for bundle in sorted(bundles, key=_size, reverse=True):
        fitting = [node for node in free if node.fits(bundle)]
        if fitting:
            min(fitting, key=lambda node: _size(node.has)).take(bundle)
        else:
            without_room.append(bundle)
    return without_room


class _Node:
    """What a node has left."""

    def __init__(self, has: Resources, pooled: bool) -> None:
        self.has = dict(has)
        gpus = self.has.get("GPU", 0.0)
        parts = [1.0] * int(gpus + EPSILON)
        self._gpus = [gpus] if pooled else [*parts, gpus - len(parts)]
        self._pooled = pooled

    def fits(self, bundle: Resources) -> bool:
        """Whether it has room."""
        enough = all(self.has.get(name, 0) >= amount - EPSILON for name, amount in bundle.items())
        return enough and self._holding(bundle.get("GPU", 0.0)) is not None

    def take(self, bundle: Resources) -> None:
        """Have it there."""
        for name, amount in bundle.items():
            self.has[name] = self.has.get(name, 0) - amount
        for number, amount in (self._holding(bundle.get("GPU", 0.0)) or {}).items():
            self._gpus[number] -= amount

    def _holding(self, wanted: float) -> dict[int, float] | None:
        """What each GPU gives: one of them a part, the one with the least that is enough, or several all of theirs."""
        if wanted <= EPSILON:
            return {}
        each = wanted if self._pooled or wanted < 1 else 1.0
        enough = [number for number, part in enumerate(self._gpus) if part >= each - EPSILON]
        chosen = sorted(enough, key=lambda number: self._gpus[number])[: round(wanted / each)]
        return dict.fromkeys(chosen, each) if len(chosen) == round(wanted / each) else None


def _size(resources: Resources) -> tuple[float, ...]:
    special = sum(amount > 0 for name, amount in resources.items() if name not in ORDER)
    return (*(resources.get(name, 0) for name in ORDER[:1]), special, *(resources.get(name, 0) for name in ORDER[1:]))
