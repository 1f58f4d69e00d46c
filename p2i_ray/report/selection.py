"""The report's section "How the selection changed": what each round kept, which flaws went, what the feedback did."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from p2i_ray.config import ImageConfig
from p2i_ray.report.data import Round, RunFolder
from p2i_ray.report.page import percent
from p2i_ray.report.selection_photos import Effect, Shown, criticised, effects, shown
from p2i_ray.report.selection_plots import Stage, flaw_plot, flow_plot
from p2i_ray.run.step_table import INSPECT, SCORE


class FlawPlot(NamedTuple):
    """The flaws of a round's kept and dropped photos."""

    title: str
    note: str
    svg: Markup


class Section(NamedTuple):
    """The template's values."""

    flow: Markup
    rounds: int
    lines: list[tuple[str, str]]  # round, the sources of its scores
    flaws: list[FlawPlot]
    sampled: int  # rows of the largest sample
    effects: list[Effect]
    headed: bool  # a cascade's head gave some of the scores
    photos_note: str  # why the photos are not shown
    exemplars: list[Shown]


def of_run(run: RunFolder) -> Section | None:
    """The section of a run; none if no round has been scored."""
    scored = [r for r in run.rounds if r.scores is not None]
    if not scored:
        return None
    limits = ImageConfig.model_validate(run.config["image"])
    inspected = [r for r in scored if INSPECT.name in r.steps]
    fed = [r for r in inspected if r.steps[INSPECT.name].facts["feedback"]]
    found, note = effects(fed, run, limits)
    return Section(
        flow=flow_plot(
            [Stage(r.title, r.steps[SCORE.name].rows_out, r.kept, r.steps[SCORE.name].set_aside) for r in scored]
        ),
        rounds=len(scored),
        lines=[(r.title, line) for r in scored if (line := scoring_text(r))],
        flaws=_flaw_plots(inspected),
        sampled=max((r.steps[INSPECT.name].facts["rows"] for r in inspected), default=0),
        effects=found,
        headed=any(r.steps[SCORE.name].facts.get("saved_share") for r in fed),
        photos_note=note,
        exemplars=list(shown(run, limits)),
    )


def scoring_text(r: Round) -> str:
    """The sources of a round's scores (cascade, cache) and their cost; empty if the judge gave them all."""
    facts, rows = r.steps[SCORE.name].facts, r.steps[SCORE.name].rows_out
    parts, calls = [], facts.get("llm_calls", rows)
    if facts.get("saved_share"):
        agreed = facts.get("agreement_held_out")
        held_out = f"{facts.get('held_out_rows', 0):,} rows held out"
        proof = "" if agreed is None else f"; it agrees with the LMM on {100 * agreed:.1f} % of {held_out}"
        share = percent(facts["saved_share"])
        parts.append(f"the cascade's head decided {share} of the rows and left {calls:,} to the LMM{proof}")
    elif facts.get("why"):
        parts.append(f"the LMM scored every row, because {facts['why']}")
    if facts.get("cached"):
        parts.append(f"{facts['cached']:,} of {calls:,} answers came from the judge's cache")
    if facts.get("requests"):
        cost = f" for {facts['usd']:.2f} USD" if facts.get("usd") else ""
        parts.append(f"{facts['requests']:,} requests to the judge's endpoint{cost}")
    return "; ".join(parts)


def _flaw_plots(inspected: list[Round]) -> list[FlawPlot]:
    """A plot a round, all on one scale."""
    shares = [r.steps[INSPECT.name].facts["flaws"] for r in inspected]
    most = max((share or 0 for one in shares for groups in one.values() for share in groups.values()), default=0)
    plots = []
    for r, one in zip(inspected, shares, strict=True):
        assert r.scores is not None
        kept, named = set(r.scores.filter(r.scores["kept"])["id"].to_pylist()), criticised(r)
        n = sum(id_ in kept for id_ in named)
        note = f"{len(named):,} photos: {n:,} kept, {len(named) - n:,} dropped"
        plots.append(FlawPlot(r.title, note, flaw_plot(r.title, one, most)))
    return plots
