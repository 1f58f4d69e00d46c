"""Score: R(x, p_R, c_R, f_{i-1}) for every candidate x of D_{i-1}, or what a file gives in R's place."""

from __future__ import annotations

from p2i_ray.data import reading
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import SCORE
from p2i_ray.steps import given_scores
from p2i_ray.steps.round import Exemplars, Output, Round, counts


def score(this: Round, candidates: Output | None, feedback: str, exemplars: Exemplars) -> Output:
    """Score the rows of D_{i-1}, each once.

    Args:
        this: the round.
        candidates: the ids of D_{i-1}; none: the whole training split.
        feedback: f_{i-1}; empty in the first round.
        exemplars: c_R.
    """
    settings = this.run.config.idr
    total = candidates.rows if candidates else reading.count(this.data, "train")

    def work(out: str) -> Counts:
        rows = reading.read_split(this.data, "train", keep=candidates.location if candidates else None)
        with this.progress(SCORE, total) as progress:
            if settings.given_scores:
                ids = rows.select_columns(["id"])
                return counts(total, given_scores.write(ids, settings.given_scores, out, progress=progress))
            written = this.judge.score(
                rows,
                out,
                feedback=feedback,
                progress=progress,
                exemplars=exemplars,
                gamma=settings.gamma,
                threshold_on=settings.threshold_on,
            )
        return counts(total, written)

    return this.once(SCORE, work)
