"""Work that is done in turn, or beside the driver's own: an arm is evaluated while the next one runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from p2i_ray.cluster import placement
from p2i_ray.cluster.bin_packing import Resources
from p2i_ray.cluster.resources import Phase
from p2i_ray.config import Config
from p2i_ray.steps.overlap.background import in_background

Result = TypeVar("Result")


@dataclass
class Turns(Generic[Result]):
    """Takes work and gives its results in the order in which it came, one piece at a time.

    Attributes:
        beside: whether the work is done in threads, beside what the caller does next; else before `take` returns.
        name: of the threads.
    """

    beside: bool
    name: str
    _done: list[Result] = field(default_factory=list)
    _taken: list[Future[list[Result]]] = field(default_factory=list)

    def take(self, work: Callable[[], list[Result]]) -> None:
        """Do some work when what was taken before has ended; raises what that has raised by now, or the work itself."""
        if not self.beside:
            self._done += work()
            return
        before = self._taken[-1:]
        for future in before:
            if future.done():
                future.result()

        def in_turn() -> list[Result]:
            for future in before:
                future.result()  # after a failure nothing more is done
            return work()

        self._taken.append(in_background(in_turn, self.name))

    def finish(self) -> list[Result]:
        """All results, when all is done."""
        return [*self._done, *(result for future in self._taken for result in future.result())]


def room_beside(
    config: Config, arms: Sequence[Phase], evaluations: Sequence[Phase], nodes: Sequence[Resources]
) -> bool:
    """Whether evaluations may be done beside the arms' runs: all that both may hold at a time finds room.

    A judge that makes way for other steps can't be asked beside them.

    Args:
        config: of both; idr.overlap=false has everything done in turn.
        arms: what a run holds at a time.
        evaluations: what an evaluation does.
        nodes: the resources of each.
    """
    judge = config.judge
    stays = (judge.keep_warm or bool(judge.hosted.url)) and not config.held_out_judge
    pairs = itertools.product(arms, evaluations)
    return (
        config.idr.overlap
        and stays
        and all(placement.has_room_beside(arm, one, shared=judge.group, nodes=nodes) for arm, one in pairs)
    )
