"""The tables of the paper, and those that prove the loop or refute it, from finished evaluations."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from p2i_ray.comparison import paper
from p2i_ray.comparison.arms import ARMS, BY_NAME
from p2i_ray.comparison.results import Case, Results
from p2i_ray.comparison.subjects import TITLES
from p2i_ray.comparison.table import Cell, Column, Row, Table, metric_column
from p2i_ray.config.comparison import BY_GENERATORS, REFERENCE, ComparisonConfig

# The paper's order, and the sibling paper's generators.
TABLE_1 = (
    *("sd_inpainting", "controlnet", "ip_adapter", "powerpaint", "lama"),
    *BY_GENERATORS,
    *("epbd_ft", REFERENCE),
)
OURS = "Product2Img"
THEIR_SPLIT = "test"  # on which the paper's figures are
KEPT = Column(key="kept", label="rows kept", lower_is_better=None)


def title_of(name: str) -> str:
    """The name of a method or arm in Table 1 and Figure 6."""
    return OURS if name == REFERENCE else TITLES.get(name) or BY_NAME[name].title


@dataclass(frozen=True)
class Tables:
    """The tables of a comparison.

    Attributes:
        results: its evaluations.
        settings: of the comparison.
        metrics: the columns.
        rounds: R.
        kept: rows that an arm kept in its last round, by arm and seed.
    """

    results: Results
    settings: ComparisonConfig
    metrics: tuple[str, ...]
    rounds: int
    kept: Mapping[str, Mapping[int, int]]

    def all(self) -> list[Table]:
        """Those for which there is something."""
        made = (self.methods(), self.without_cba(), self.by_round(), self.arms(), self.sensitivity())
        return [table for table in made if table.rows]

    def methods(self) -> Table:
        """Table 1: methods by metrics, on each split."""
        columns = [
            metric_column(metric, f"{split}.", split if len(self.settings.splits) > 1 else "")
            for split in self.settings.splits
            for metric in self.metrics
        ]
        rows: list[Row] = []
        notes: list[str] = []
        for name in TABLE_1:
            number = self.rounds if name in BY_NAME else 0
            cells: dict[str, Cell] = {}
            for split in self.settings.splits:
                own = paper.TABLE_1.get(name)
                cells |= self._cells(Case(name, number, split), prefix=f"{split}.", paper=own)
            label = self._label(Case(name, number, self.settings.splits[0]), title_of(name))
            rows += [Row(key=name, label=label, cells=cells)] if cells else []
        for split in self.settings.splits:
            cases = [Case(name, self.rounds if name in BY_NAME else 0, split) for name in TABLE_1]
            notes += self._conditions(cases)
        return Table(
            key="table-1",
            title="Table 1, methods",
            caption="Mean ± standard deviation over seeds; in brackets the paper's figure, of EPBD at 512 x 512.",
            columns=tuple(columns),
            rows=tuple(rows),
            notes=(*notes, *self._left_out()),
        )

    def without_cba(self) -> Table:
        """Table 2: with and without Contrastive Background Alignment, after round 1."""
        labels: dict[str, str] = {REFERENCE: OURS, "no_cba": "without CBA"}
        reference = self._first(REFERENCE, 1)
        cases = [case for name in labels if self._there(case := self._first(name, 1))]
        rows = [
            self._row(
                case,
                labels[case.name],
                paper=paper.TABLE_2[case.name],
                against=reference if case != reference else None,
            )
            for case in cases
        ]
        return Table(
            key="table-2",
            title="Table 2, without CBA",
            caption=f"After round 1, on {self.settings.splits[0]}; differences are paired, with 95 % intervals.",
            columns=self._columns,
            rows=tuple(rows) if len(rows) > 1 else (),
            notes=tuple(self._conditions(cases)),
        )

    def by_round(self) -> Table:
        """Table 3: rounds with Iterative Data Refinement, and without at equal steps."""
        rows, cases = [], []
        for name, label in ((REFERENCE, "round"), ("no_filter", "without selection, round")):
            for number in range(1, self.rounds + 1):
                case = self._first(name, number)
                own = paper.TABLE_3[name][number - 1] if number <= len(paper.TABLE_3[name]) else {}
                against = self._first(REFERENCE, number) if name != REFERENCE else None
                rows += [self._row(case, f"{label} {number}", paper=own, against=against)] if self._there(case) else []
                cases.append(case)
        return Table(
            key="table-3",
            title="Table 3, rounds",
            caption=f"On {self.settings.splits[0]}; differences are to the same round with selection.",
            columns=self._columns,
            rows=tuple(rows),
            notes=tuple(self._conditions(cases)),
        )

    def arms(self) -> Table:
        """All arms after the last round, each against the loop."""
        reference, rows = self._first(REFERENCE, self.rounds), []
        for arm in ARMS:
            case = self._first(arm.name, self.rounds)
            if self._there(case):
                against = reference if arm.name != REFERENCE else None
                row = self._row(case, arm.title, against=against, note=arm.question)
                rows.append(row.model_copy(update={"cells": {KEPT.key: self._kept(arm.name), **row.cells}}))
        cases = [self._first(arm.name, self.rounds) for arm in ARMS]
        return Table(
            key="arms",
            title="Arms of the loop",
            caption=(
                f"On {self.settings.splits[0]}, equal steps; each arm's difference to the loop is paired over products "
                "and seeds, with its 95 % interval, in brackets where that has zero in it."
            ),
            columns=(KEPT, *self._columns),
            rows=tuple(rows) if len(rows) > 1 else (),
            notes=tuple(self._conditions(cases)),
        )

    def sensitivity(self) -> Table:
        """The loop's last model under choices that the paper leaves open."""
        reference = self._first(REFERENCE, self.rounds)
        split = self.settings.splits[0]
        cases = [case for case in self.results.by_case if case.variant and case.split == split]
        rows = [self._row(reference, "as it is")] if cases else []
        rows += [self._row(case, case.variant, against=reference) for case in cases]
        return Table(
            key="sensitivity",
            title="Choices that the paper leaves open",
            caption=f"The loop's last model on {split}; differences are to the settings as they are.",
            columns=self._columns,
            rows=tuple(rows),
        )

    @property
    def _columns(self) -> tuple[Column, ...]:
        return tuple(metric_column(metric) for metric in self.metrics)

    def _first(self, name: str, number: int) -> Case:
        return Case(name, number, self.settings.splits[0])

    def _there(self, case: Case) -> bool:
        return bool(self.results.seeds(case))

    def _row(
        self,
        case: Case,
        label: str,
        *,
        paper: Mapping[str, float] | None = None,
        against: Case | None = None,
        note: str = "",
    ) -> Row:
        key = ".".join(part for part in (case.name, str(case.number), case.variant) if part)
        cells = self._cells(case, paper=paper, against=against)
        return Row(key=key, label=self._label(case, label), cells=cells, note=note)

    def _label(self, case: Case, label: str) -> str:
        """A row's label, which says where it has fewer seeds than others: its mean is not of the same runs."""
        found, wanted = len(self.results.seeds(case)), len(self.settings.seeds)
        return label if found in (0, wanted) else f"{label} ({found} of {wanted} seeds)"

    def _cells(
        self, case: Case, *, prefix: str = "", paper: Mapping[str, float] | None = None, against: Case | None = None
    ) -> dict[str, Cell]:
        """The cells of a case; none where it was not evaluated. The paper's figures are of one split alone."""
        theirs = paper if paper and case.split == THEIR_SPLIT else {}
        found = {}
        for metric in self.metrics if self._there(case) else ():
            values = list(self.results.figures(case, metric).values())
            found[f"{prefix}{metric}"] = Cell(
                mean=statistics.fmean(values) if values else None,
                spread=statistics.stdev(values) if len(values) > 1 else None,
                seeds=len(values),
                paper=theirs.get(metric),
                difference=self.results.difference(case, against, metric) if against else None,
            )
        return found

    def _kept(self, arm: str) -> Cell:
        rows = list(self.kept.get(arm, {}).values())
        return Cell(mean=statistics.fmean(rows) if rows else None, seeds=len(rows))

    def _conditions(self, cases: Sequence[Case]) -> Iterator[str]:
        """A line for each metric whose figures were measured under different conditions, or are not of all pictures."""
        for metric in self.metrics:
            found = [one.model_dump() for one in self.results.conditions(cases, metric)]
            different = sorted({key for one in found for key in one if one[key] != found[0][key]})
            if different:
                yield f"{metric} can't be compared between all rows: they differ in {', '.join(different)}."
            left_out = self.results.left_out(cases, metric).values()
            if most := max(left_out, default=0):
                fewest = min(left_out)
                told = f"{most}" if fewest == most else f"{fewest} to {most}"
                yield f"{metric} leaves out pictures that have no value: {told} in an evaluation."

    def _left_out(self) -> Iterator[str]:
        missing = [title_of(name) for name in TABLE_1 if name not in BY_GENERATORS and not self._evaluated(name)]
        if missing:
            yield f"Not run: {', '.join(missing)}."

    def _evaluated(self, name: str) -> bool:
        return any(case.name == name for case in self.results.by_case)
