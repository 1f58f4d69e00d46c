"""Pack the bundles of processes onto nodes, largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Resources = Mapping[str, float]
EPSILON = 1e-6  # Ray counts in ten-thousandths
ORDER = ("GPU", "CPU", "memory")  # scarcest first


def left_over(bundles: Sequence[Resources], nodes: Sequence[Resources], *, pooled: bool = False) -> list[Resources]:
    """The bundles that don't fit when each is placed on a single node; empty if all do.

    The largest are placed first, each on the node where it leaves least (best fit decreasing): so no small task takes
    the GPU that an engine needs. This is a heuristic, exact for bundles of one kind. A fraction of a GPU is part of a
    single GPU, as Ray assigns it.

    Args:
        bundles: resources that processes reserve.
        nodes: resources of the nodes.
        pooled: the nodes' GPUs are the free parts of an unknown number of GPUs: a fraction may be put together from
            several of them.
    """
    free = [_Node(node, pooled) for node in nodes]
    without_room = []
    for bundle in sorted(bundles, key=_size, reverse=True):
        fitting = [node for node in free if node.fits(bundle)]
        if fitting:
            min(fitting, key=lambda node: _size(node.free)).take(bundle)
        else:
            without_room.append(bundle)
    return without_room


class _Node:
    """The free resources of a node."""

    def __init__(self, has: Resources, pooled: bool) -> None:
        self.free = dict(has)
        gpus = self.free.get("GPU", 0.0)
        parts = [1.0] * int(gpus + EPSILON)
        self._gpus = [gpus] if pooled else [*parts, gpus - len(parts)]
        self._pooled = pooled

    def fits(self, bundle: Resources) -> bool:
        """Whether a bundle has room here."""
        enough = all(self.free.get(name, 0) >= amount - EPSILON for name, amount in bundle.items())
        return enough and self._gpus_for(bundle.get("GPU", 0.0)) is not None

    def take(self, bundle: Resources) -> None:
        """Place a bundle here."""
        for name, amount in bundle.items():
            self.free[name] = self.free.get(name, 0) - amount
        for number, amount in (self._gpus_for(bundle.get("GPU", 0.0)) or {}).items():
            self._gpus[number] -= amount

    def _gpus_for(self, wanted: float) -> dict[int, float] | None:
        """Amounts by GPU: a fraction of the fullest one that has enough, or several whole ones; none: no room."""
        if wanted <= EPSILON:
            return {}
        each = wanted if self._pooled or wanted < 1 else 1.0
        enough = [number for number, part in enumerate(self._gpus) if part >= each - EPSILON]
        chosen = sorted(enough, key=lambda number: self._gpus[number])[: round(wanted / each)]
        return dict.fromkeys(chosen, each) if len(chosen) == round(wanted / each) else None


def _size(resources: Resources) -> tuple[float, ...]:
    special = sum(amount > 0 for name, amount in resources.items() if name not in ORDER)
    return (*(resources.get(name, 0) for name in ORDER[:1]), special, *(resources.get(name, 0) for name in ORDER[1:]))
