"""What may go wrong in a run, and when: drawn from a seed, so that a run that went wrong can be had again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Step = tuple[int, str]  # round and name
PUBLISH = "publish"  # what follows the last step: the model is copied, the report written

JUDGED = ("calibrate", "score", "inspect", "critique", "feedback")
# The steps that a kind of fault can strike; none: every one. A warm engine also dies while nobody asks it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "engine": (*JUDGED, "train", "generate"),
    "trainer": ("train",),
    "actor": ("encode", "generate"),
    "node": (),
    "driver": (),
    "full disk": (),
    "folder away": (),
}
NEED_MOUNT = ("full disk",)
TWO = 0.25  # share of the runs with two faults
HOLD_S = (3.0, 12.0)  # until a node is replaced, room is made, or the folder is back


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: of KINDS.
        round, step: strike while this step is being done,
        share: this share of its undisturbed seconds after its begin, 0..1.
        victim: which of several processes or nodes, as a share of their number, 0..1.
        hold_s: seconds until what was taken away is given back.
    """

    kind: str
    round: int
    step: str
    share: float
    victim: float
    hold_s: float

    def __str__(self) -> str:
        return f"{self.kind} · round {self.round} {self.step} · {self.share:.2f}"


def draw(seed: int, steps: Sequence[Step], kinds: Sequence[str] = tuple(KINDS)) -> tuple[Fault, ...]:
    """The faults of a run, one or two, in the order of their moments.

    Args:
        seed: decides everything.
        steps: of an undisturbed run, in order.
        kinds: to draw from.
    """
    choice = random.Random(seed)
    drawn = []
    for _ in range(2 if choice.random() < TWO else 1):
        kind = choice.choice([k for k in kinds if possible(k, steps)])
        number, name = choice.choice(possible(kind, steps))
        share, victim, hold_s = choice.random(), choice.random(), choice.uniform(*HOLD_S)
        drawn.append(Fault(kind, number, name, share, victim, round(hold_s, 1)))
    return tuple(sorted(drawn, key=lambda fault: (steps.index((fault.round, fault.step)), fault.share)))


def possible(kind: str, steps: Sequence[Step]) -> list[Step]:
    """The steps that this kind of fault can strike."""
    return [step for step in steps if not KINDS[kind] or step[1] in KINDS[kind]]
