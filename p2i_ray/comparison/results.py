"""The finished evaluations of a comparison, as the tables read them: figures by seed, and paired differences."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from p2i_ray.errors import UserError
from p2i_ray.evaluate import paired, record
from p2i_ray.evaluate.paired import Difference
from p2i_ray.evaluate.record import Conditions, Record
from p2i_ray.storage import locations

EVALUATED = "evaluated.json"  # below a comparison's folder


class Evaluated(BaseModel):
    """One finished evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # of the arm or method
    number: int  # the round after which an arm was looked at; 0: a method
    variant: str  # of the settings; empty: as they are
    split: str
    seed: int
    folder: str  # below the comparison's


@dataclass(frozen=True)
class Case:
    """A subject of the tables: an arm after a round or a method, on a split; over all its seeds."""

    name: str
    number: int
    split: str
    variant: str = ""


@dataclass(frozen=True)
class Results:
    """All evaluations.

    Attributes:
        out: the comparison's folder.
        evaluated: what there is.
    """

    out: str
    evaluated: list[Evaluated]
    _records: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, out: str) -> Results:
        """Those of a comparison's folder.

        Raises:
            UserError: there is none.
        """
        location = locations.join(out, EVALUATED)
        if not locations.exists(location):
            raise UserError(f"{out} has no {EVALUATED}; give the out= folder of a finished comparison")
        return cls(out, [Evaluated.model_validate(one) for one in json.loads(locations.read_text(location))])

    @cached_property
    def by_case(self) -> dict[Case, dict[int, str]]:
        """The folders of evaluations by case and seed."""
        found: dict[Case, dict[int, str]] = {}
        for one in self.evaluated:
            case = Case(one.name, one.number, one.split, one.variant)
            found.setdefault(case, {})[one.seed] = locations.resolve(one.folder, self.out)
        return found

    def seeds(self, case: Case) -> dict[int, str]:
        """The folders of a case's evaluations by seed; empty: it was not evaluated."""
        return self.by_case.get(case, {})

    def record(self, folder: str) -> Record:
        """An evaluation's record."""
        if folder not in self._records:
            self._records[folder] = record.read(folder)
        return self._records[folder]

    def figures(self, case: Case, metric: str) -> dict[int, float]:
        """A metric's figure by seed."""
        found = {seed: self.record(folder).metrics.get(metric) for seed, folder in self.seeds(case).items()}
        return {seed: one.figures[metric] for seed, one in found.items() if one is not None and metric in one.figures}

    def left_out(self, cases: Iterable[Case], metric: str) -> dict[str, int]:
        """Pictures that have no value of a metric, and so are in no mean of it, by the evaluation's folder."""
        folders = [folder for case in cases for folder in self.seeds(case).values()]
        found = {folder: self.record(folder).metrics.get(metric) for folder in folders}
        return {folder: int(one.figures.get(f"{metric}_left_out", 0)) for folder, one in found.items() if one}

    def difference(self, case: Case, against: Case, metric: str) -> Difference | None:
        """The paired difference of two cases by a metric, over the seeds that both have; none: it can't be paired."""
        one, other = self.seeds(case), self.seeds(against)
        shared = sorted(one.keys() & other.keys())
        if not shared:
            return None
        return paired.of_evaluations(
            metric, {seed: one[seed] for seed in shared}, {seed: other[seed] for seed in shared}
        )

    def conditions(self, cases: Iterable[Case], metric: str) -> list[Conditions]:
        """Facts that the figures of cases depend on, each once; more than one: they can't be compared."""
        found: list[Conditions] = []
        for case in cases:
            for folder in self.seeds(case).values():
                measured = self.record(folder).metrics.get(metric)
                if measured is not None and measured.conditions not in found:
                    found.append(measured.conditions)
        return found
