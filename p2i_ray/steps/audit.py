"""Audit: what the judge that selects and a held-out judge, which never does, say of the same painted images.

<out>/values.parquet              both judges' answers, a row an image; see evaluate/metrics/judge_gap.py
<out>/selecting/scores/*.parquet  as scores/, without feedback and exemplars, so that rounds can be compared
<out>/selecting/critiques/…       only where the round has no critiques of its own
<out>/held-out/{scores,critiques}/…
"""

from __future__ import annotations

from typing import Any

from p2i_ray.data import reading
from p2i_ray.evaluate.metrics import judge_gap
from p2i_ray.judge import held_out
from p2i_ray.judge.judge import Judge
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import AUDIT
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import locations, parquet

VALUES = "values.parquet"
SELECTING, HELD_OUT = "selecting", "held-out"  # folders


def audit(this: Round, images: Output, critiques: Output | None = None) -> None:
    """Ask both judges about the painted images; do nothing where there is no held-out judge.

    Args:
        this: the round.
        images: that were painted.
        critiques: the selecting judge's, of the round (none: it is asked for them, too).
    """
    if not AUDIT.wanted(this.run.config, this.number):
        return
    other = this.held_out
    assert other is not None, "a run with evaluate.judge has a held-out judge"

    def work(out: str) -> Counts:
        with this.progress(AUDIT, None, "replies") as progress:
            asking = _Asking(images, out, progress)
            selecting = [asking.critiques(this.judge, SELECTING, critiques), asking.scores(this.judge, SELECTING)]
            this.judge.release()  # the held-out judge may need its GPUs
            with held_out.errors_of(other):
                never_selecting = [asking.critiques(other, HELD_OUT), asking.scores(other, HELD_OUT)]
            other.release()
        values = judge_gap.values(*zip(selecting, never_selecting, strict=True))
        parquet.write_table(values, locations.join(out, VALUES))
        facts = {"figures": judge_gap.figures(values), "held_out": other.settings.model, "passes": asking.facts}
        return Counts(rows_in=images.rows, rows_out=values.num_rows, files=[VALUES], facts=facts)

    this.once(AUDIT, work)


class _Asking:
    """Questions about the same images, answered into folders below `out`."""

    def __init__(self, images: Output, out: str, progress: parquet.Progress) -> None:
        self._images, self._out, self._progress = images, out, progress
        self.facts: dict[str, dict[str, Any]] = {}  # folder -> e.g. the cost of its answers

    def critiques(self, judge: Judge, who: str, known: Output | None = None) -> Any:
        """The table of a judge's critiques; those that are known are not asked for."""
        if known is not None:
            return parquet.read_parquet(known.location, known.files, ["id", "flaws", "error"])
        folder = locations.join(who, "critiques")
        written = judge.critique(self._rows(), locations.join(self._out, folder), progress=self._progress)
        return self._read(folder, written, ["id", "flaws", "error"])

    def scores(self, judge: Judge, who: str) -> Any:
        """The table of a judge's scores, by the LMM alone."""
        folder = locations.join(who, "scores")
        out = locations.join(self._out, folder)
        written = judge.score(self._rows(), out, by_head=False, progress=self._progress)
        return self._read(folder, written, ["id", "score", "expected_score"])

    def _rows(self) -> Any:
        return reading.read_files(self._images.location, self._images.files)

    def _read(self, folder: str, written: parquet.Written, columns: list[str]) -> Any:
        self.facts[folder] = dict(written.facts)
        return parquet.read_parquet(locations.join(self._out, folder), written.files, columns)
