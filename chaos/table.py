"""The runs as people read them, and as JSON."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEADS = (
    "seed", "fault, and when it struck", "calm s", "run s", "more s", "starts", "start-up s", "again s", "lost rows",
    "same ids", "feedback", "weights", "orphans",
    "end",
)  # fmt: skip
WIDTHS = (4, -62, 6, 5, 6, 6, 10, 7, 9, 8, 8, 7, 7, -4)  # less than 0: flush left
NO_VICTIM = "no victim"
LONGEST_END = 120
LEGEND = (
    "calm s, run s: from the first command to the end, undisturbed and disturbed; more s: the difference. "
    "starts: times the command was given; start-up s: until its first step was under way, all further starts together. "
    "again s: more s less those start-ups: work that was repeated, and waiting. lost rows: that left a step not at "
    "all, twice, or with another reason than in the undisturbed run. orphans: processes left behind by killed ones."
)


@dataclass(frozen=True)
class Row:
    """One disturbed run.

    Attributes:
        seed: of its faults.
        faults: what struck, and when.
        whom: the processes, nodes and folders that it struck.
        calm_s, run_s: of the undisturbed run, and of this one.
        starts: times that the command was given.
        startup_s: of the commands after the first.
        lost, ids, feedback, weights: see outcome.Verdict; none where it has no outcome.
        endings: how each command ended.
        end: done, or what was wrong.
        strays: files that were written where the run's folder had been.
        orphans: processes that have outlived those that started them.
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
        """Of these, what no start-up explains: work that was repeated, and waiting."""
        return self.more_s - self.startup_s

    @property
    def same(self) -> bool:
        """Whether it ended as if nothing had happened."""
        return self.end == "done" and self.lost == 0 and bool(self.ids and self.feedback and self.weights)

    def cells(self) -> tuple[str, ...]:
        """As HEADS."""
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
    """How many ended as if nothing had happened, and what the faults cost."""
    same, missed = sum(row.same for row in rows), sum(row.end == NO_VICTIM for row in rows)
    more = sorted(row.more_s for row in rows)
    ended = f"{same} of {len(rows)} runs ended as the undisturbed one" + f", {missed} met no fault" * bool(missed)
    return f"{ended}; the faults cost {statistics.median(more):.0f} s in the median, {more[-1]:.0f} s at most"


def write(rows: Sequence[Row], out: Path) -> None:
    """chaos.json and chaos.md."""
    figures = [{**asdict(row), "more_s": row.more_s, "again_s": row.again_s, "same": row.same} for row in rows]
    (out / "chaos.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    table = [HEADS, ["---"] * len(HEADS), *(row.cells() for row in rows)]
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |" for cells in table]
    (out / "chaos.md").write_text("\n".join([*lines, "", summary(rows), "", LEGEND]) + "\n", "utf-8")


def _word(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "NO"
