"""Draw the faults of a run and their moments from a seed, so that a failing run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from p2i_ray.run.step_table import ENCODE, GENERATE, STEPS, TRAIN, Kind

Step = tuple[int, str]  # round and name
PUBLISH = "publish"  # after the last step: the model is copied, the report written

JUDGE_STEPS = tuple(step.name for step in STEPS if step.kind is Kind.JUDGING and step.takes)
# The steps during which a kind of fault is possible (none: all). A warm engine may also die while it is idle.
KINDS: Mapping[str, tuple[str, ...]] = {
    "engine": (*JUDGE_STEPS, TRAIN.name, GENERATE.name),
    "trainer": (TRAIN.name,),
    "actor": (ENCODE.name, GENERATE.name),
    "node": (),
    "driver": (),
    "full disk": (),
    "folder away": (),
    "network cut": (),
    "bucket 503": (),
}
NEED_MOUNT = ("full disk",)
NEED_NETWORK = ("network cut",)
NEED_BUCKET = ("bucket 503",)  # in a run with one of these the run folder lies in a bucket
ON_DISK = ("full disk", "folder away")
TWO_FAULTS = 0.25  # fraction of the runs that have two faults
HOLD_S = (3.0, 12.0)  # seconds until a node is replaced, the disk is freed, the folder is back, or the bucket answers
CUT_S = (20.0, 120.0)  # of a network cut: the head waits for the node, or gives it up


@dataclass(frozen=True)
class Fault:
    """A fault and its moment.

    Attributes:
        kind: of KINDS.
        round, step: the step during which it is injected.
        share: moment, as a fraction of that step's undisturbed duration, 0..1.
        victim: which of several processes or nodes, as a fraction of their number, 0..1.
        hold_s: seconds until the outage ends.
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
        seed: determines them all.
        steps: steps of an undisturbed run, in order.
        kinds: kinds of faults to draw from.
    """
    choice = random.Random(seed)
    drawn: list[Fault] = []
    for _ in range(2 if choice.random() < TWO_FAULTS else 1):
        kind = choice.choice([k for k in kinds if possible(k, steps) and _fits(k, drawn)])
        number, name = choice.choice(possible(kind, steps))
        share, victim, hold_s = choice.random(), choice.random(), choice.uniform(*HOLD_S)
        if kind in NEED_NETWORK:
            hold_s = CUT_S[hold_s > sum(HOLD_S) / 2]
        drawn.append(Fault(kind=kind, round=number, step=name, share=share, victim=victim, hold_s=round(hold_s, 1)))
    return tuple(sorted(drawn, key=lambda fault: (steps.index((fault.round, fault.step)), fault.share)))


def in_bucket(drawn: Iterable[Fault]) -> bool:
    """Whether the folder of a run with these faults lies in a bucket."""
    return any(fault.kind in NEED_BUCKET for fault in drawn)


def _fits(kind: str, drawn: Sequence[Fault]) -> bool:
    """Whether a kind can happen in one run with these faults."""
    if kind in ON_DISK:
        return not in_bucket(drawn)
    return kind not in NEED_BUCKET or not any(fault.kind in ON_DISK for fault in drawn)


def possible(kind: str, steps: Sequence[Step]) -> list[Step]:
    """The steps during which this kind of fault is possible."""
    return [step for step in steps if not KINDS[kind] or step[1] in KINDS[kind]]
