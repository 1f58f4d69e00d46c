"""The report's section "Does another judge agree?": what a held-out judge says of the pictures, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
from markupsafe import Markup

from p2i_ray.evaluate.metrics import judge_gap
from p2i_ray.evaluate.metrics.bootstrap import COVERAGE
from p2i_ray.evaluate.metrics.judge_gap import CLEAR, GAP, HELD_OUT, SELECTING, Growth
from p2i_ray.report.data import Round, RunFolder
from p2i_ray.report.held_out_plots import two_judges_plot
from p2i_ray.run.step_table import AUDIT
from p2i_ray.storage import locations, parquet


class Kind(NamedTuple):
    """One of judge_gap.KINDS, for people."""

    key: str
    title: str
    note: str
    scale: float  # by which figures are shown
    digits: int
    unit: str
    of_differences: str  # their unit

    def number(self, value: float, signed: bool = False) -> str:
        """A figure, or a difference with its sign, without the unit."""
        rounded = round(self.scale * value, self.digits) + 0.0  # no negative zero
        return f"{rounded:{'+' if signed and rounded else ''}.{self.digits}f}".replace("-", "−")

    def shown(self, value: float) -> str:
        """A figure with its unit."""
        return f"{self.number(value)}{self.unit}"

    def interval(self, figures: dict[str, float], name: str, signed: bool = False) -> str:
        """A figure, or a difference with its sign, with its interval."""
        ends = (self.number(figures[f"{name}_{end}"], signed) for end in ("low", "high"))
        unit = self.of_differences if signed else self.unit
        return f"{self.number(figures[name], signed)}{unit} ({' to '.join(ends)})"


KINDS = (
    Kind(
        "available_rate",
        "Pictures without a flaw",
        "available rate",
        scale=100,
        digits=0,
        unit=" %",
        of_differences=" points",
    ),
    Kind("judge_score", "Mean score", "score without feedback, 1 to 5", scale=1, digits=2, unit="", of_differences=""),
)


class Line(NamedTuple):
    """A round of a table."""

    round: str
    selecting: str
    held_out: str
    gap: str
    growth: str  # since the first round that was looked at


class Table(NamedTuple):
    """A kind's rounds."""

    title: str
    note: str
    lines: list[Line]
    plot: Markup


class Section(NamedTuple):
    """The template's values."""

    model: str  # of the held-out judge
    coverage: int  # of intervals, per cent
    pictures: str
    tables: list[Table]
    warnings: list[str]  # where a gap has grown
    verdict: str  # where none has


def of_run(run: RunFolder) -> Section | None:
    """The section of a run; none where no held-out judge has looked at a round yet."""
    rounds = [r for r in run.rounds if AUDIT.name in r.steps]
    if not rounds:
        return None
    found = [(r, _values(r)) for r in rounds]
    tables = [table for kind in KINDS if (table := _table(kind, found)) is not None]
    warnings = [text for kind in KINDS if (text := _warning(kind, found)) is not None]
    last = rounds[-1].steps[AUDIT.name]
    figures = last.facts["figures"]
    asked = ", ".join(f"{figures[f'{kind.key}_images']:.0f} of {last.rows_out} ({kind.note})" for kind in KINDS)
    return Section(
        model=str(last.facts["held_out"]).rstrip("/").rsplit("/", 1)[-1],
        coverage=COVERAGE,
        pictures=asked,
        tables=tables,
        warnings=warnings,
        verdict="" if warnings else _verdict(rounds),
    )


def _values(one: Round) -> pa.Table:
    return parquet.read_parquet(locations.join(one.folder, AUDIT.output), one.steps[AUDIT.name].files)


def _table(kind: Kind, found: Sequence[tuple[Round, pa.Table]]) -> Table | None:
    """None where no round has enough pictures that both judges answered about."""
    known = _known(kind, found)
    if not known:
        return None
    _, first = known[0]
    lines = [
        _line(kind, r, judge_gap.growth(first, values, kind.key) if values is not first else None)
        for r, values in known
    ]
    figures = [r.metrics for r, _ in known]
    plot = two_judges_plot(
        kind.title, [_name(r) for r, _ in known], figures, key=kind.key, scale=kind.scale, shown=kind.shown
    )
    return Table(kind.title, kind.note, lines, plot)


def _known(kind: Kind, found: Sequence[tuple[Round, pa.Table]]) -> list[tuple[Round, pa.Table]]:
    """The rounds that have figures of a kind."""
    return [(r, values) for r, values in found if f"{kind.key}_{GAP}" in r.metrics]


def _line(kind: Kind, one: Round, growth: Growth | None) -> Line:
    return Line(
        round=_name(one),
        selecting=kind.interval(one.metrics, f"{kind.key}_{SELECTING}"),
        held_out=kind.interval(one.metrics, f"{kind.key}_{HELD_OUT}"),
        gap=kind.interval(one.metrics, f"{kind.key}_{GAP}", signed=True),
        growth="–" if growth is None else _grown(kind, growth),
    )


def _grown(kind: Kind, growth: Growth) -> str:
    return kind.interval({GAP: growth.value, f"{GAP}_low": growth.low, f"{GAP}_high": growth.high}, GAP, signed=True)


def _warning(kind: Kind, found: Sequence[tuple[Round, pa.Table]]) -> str | None:
    """The sentence where the last round's gap has grown by more than its interval leaves open."""
    known = _known(kind, found)
    if len(known) < 2:
        return None
    (first, before), (last, after) = known[0], known[-1]
    growth = judge_gap.growth(before, after, kind.key)
    if growth is None or not growth.is_clear:
        return None
    return (
        "The diffusion model may have learned to please the judge: from "
        f"{_name(first).lower()} to {_name(last).lower()} the gap between the two judges ({kind.note}) has grown by "
        f"{_grown(kind, growth)}, more than chance explains. Look at the pictures before you trust the judge's figures."
    )


def _verdict(rounds: Sequence[Round]) -> str:
    if len(rounds) < 2:
        return "One round has been looked at; whether the gap grows is seen from the second on."
    if any(rounds[-1].metrics[f"{kind.key}_images"] < CLEAR for kind in KINDS):
        return f"Whether the gap grows can't be told from fewer than {CLEAR} pictures that both judges answered about."
    return (
        "No gap has grown by more than its interval leaves open: nothing here says that the diffusion model has "
        "learned to please the judge."
    )


def _name(one: Round) -> str:
    return f"Round {one.number}" if one.number else "Before"
