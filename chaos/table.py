"""Print and write the table of runs, for people and as JSON."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEADS = (
    "seed",
    "fault and its moment",
    "calm s",
    "run s",
    "more s",
    "starts",
    "start-up s",
    "again s",
    "lost rows",
    "same ids",
    "feedback",
    "weights",
    "orphans",
    "end",
)
WIDTHS = (4, -62, 6, 5, 6, 6, 10, 7, 9, 8, 8, 7, 7, -4)  # negative: left-aligned
NO_VICTIM = "no victim"
LONGEST_END = 120
LEGEND = (
    "calm s, run s: from the first command to the end, undisturbed and disturbed; more s: the difference. "
    "starts: times the command was given; start-up s: until the first step was running, all further starts together. "
    "again s: more s without those start-ups: repeated work, and waiting. lost rows: missing after a step, twice, "
    "or with another error than in the undisturbed run. orphans: processes that have outlived their parents."
)


@dataclass(frozen=True)
class Row:
    """One disturbed run.

    Attributes:
        seed: of its faults.
        faults: the faults and their moments.
        whom: the processes, nodes and folders that they hit.
        calm_s, run_s: seconds of the undisturbed run, and of this one.
        starts: number of times that the command was given.
        startup_s: seconds of start-up of the commands after the first.
        lost, ids, feedback, weights: see outcome.Verdict (none: the run has no outcome).
        endings: how each command ended.
        end: "done", or what was wrong.
        strays: files that were written in place of the run's folder while that was detached.
        orphans: processes that have outlived their parents.
    """

    seed: int
    faults: list[str]
    whom: list[str]
    calm_s: float
    run_s: float
    starts: int
    startup_s: float
    lost: int | None
    ids: bool | None
    feedback: bool | None
    weights: bool | None
    endings: list[str]
    end: str
    strays: list[str]
    orphans: list[str]

    @property
    def more_s(self) -> float:
        """Seconds that the faults cost."""
        return self.run_s - self.calm_s

    @property
    def again_s(self) -> float:
        """Seconds of these without the start-ups: repeated work, and waiting."""
        return self.more_s - self.startup_s

    @property
    def same(self) -> bool:
        """Whether the run ended as the undisturbed one."""
        return self.end == "done" and self.lost == 0 and bool(self.ids and self.feedback and self.weights)

    def cells(self) -> tuple[str, ...]:
        """The cells of its line, as in HEADS."""
        seconds = (f"{value:.0f}" for value in (self.calm_s, self.run_s, self.more_s))
        lost = "-" if self.lost is None else str(self.lost)
        same = (_word(value) for value in (self.ids, self.feedback, self.weights))
        faults = "; ".join(self.faults)
        again = (str(self.starts), f"{self.startup_s:.0f}", f"{self.again_s:.0f}")
        return (
            str(self.seed),
            faults,
            *seconds,
            *again,
            lost,
            *same,
            str(len(self.orphans)),
            textwrap.shorten(self.end, LONGEST_END),
        )


def line(cells: Sequence[str]) -> str:
    """One line for the terminal."""
    places = zip(cells, WIDTHS, strict=True)
    return "  ".join(cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in places)


def summary(rows: Sequence[Row]) -> str:
    """The number of runs that ended as the undisturbed one, and the cost of the faults."""
    same, missed = sum(row.same for row in rows), sum(row.end == NO_VICTIM for row in rows)
    more = sorted(row.more_s for row in rows)
    ended = f"{same} of {len(rows)} runs ended as the undisturbed one" + f", {missed} met no fault" * bool(missed)
    return f"{ended}; the faults cost {statistics.median(more):.0f} s in the median, {more[-1]:.0f} s at most"


def write(rows: Sequence[Row], out: Path) -> None:
    """Write chaos.json and chaos.md."""
    figures = [{**asdict(row), "more_s": row.more_s, "again_s": row.again_s, "same": row.same} for row in rows]
    (out / "chaos.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    table = [HEADS, ["---"] * len(HEADS), *(row.cells() for row in rows)]
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |" for cells in table]
    (out / "chaos.md").write_text("\n".join([*lines, "", summary(rows), "", LEGEND]) + "\n", "utf-8")


def _word(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "NO"
