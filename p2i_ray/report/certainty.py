"""Certainty of the judge's scores, and false alarms of its critiques, for the report's calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from p2i_ray.judge.calibration import conformal
from p2i_ray.judge.calibration.calibrate import Calibration
from p2i_ray.judge.calibration.conformal import Conformal, Group, Judged
from p2i_ray.judge.calibration.proportions import CONFIDENCE, Proportion
from p2i_ray.report.data import Round
from p2i_ray.report.page import figure, percent
from p2i_ray.run.step_table import SCORE
from p2i_ray.storage import locations, parquet

NO_GOLD = (
    "There are no scores by people (calibration.gold), so nothing is known of how far the judge's scores are off: "
    "no interval is given."
)
OLDER = "An older version compared the judge with people's scores; it gave no intervals and counted no false alarms."


class Certainty(NamedTuple):
    """The template's values."""

    figures: list[tuple[str, str]]  # label, figure
    note: str  # why there are none, or what to think of them; empty: nothing


def of(facts: Calibration, kept: Sequence[tuple[str, str]]) -> Certainty:
    """The figures of intervals; `kept` as `of_rounds` has it."""
    if facts.conformal is None:
        return Certainty([], OLDER if facts.gold else NO_GOLD)
    return Certainty([*figures(facts), *kept], _too_few(facts.conformal))


def figures(facts: Calibration) -> list[tuple[str, str]]:
    """The intervals, a line a figure; none without gold."""
    found = facts.conformal
    if found is None:
        return []
    gamma = f"{facts.gamma:g}"
    return [
        ("Intervals at a coverage of", percent(found.coverage)),
        ("Rows with gold that they come from", str(found.rows)),
        ("Covered, of the rows held out", shown(found.covered)),
        ("Mean width of an interval, held out", figure(found.mean_width)),
        *(
            (
                f"Half width at a score of {score}, in (0.25 + entropy)",
                f"{_multiple(group)} ({group.rows} rows)",
            )
            for score, group in sorted(found.groups.items())
        ),
        (f"Kept rows held out: surely at least {gamma}", shown(found.surely)),
        (f"Kept rows held out: at least {gamma} for people", shown(found.kept_right)),
    ]


def of_rounds(facts: Calibration, rounds: Sequence[Round]) -> list[tuple[str, str]]:
    """Of each round's kept rows those that are surely, perhaps and not at least gamma; none without gold."""
    first = next((r for r in rounds if r.number == 1 and SCORE.name in r.steps), None)
    if facts.conformal is None or first is None:
        return []
    low, high = _first_intervals(first, facts.conformal)
    return list(_kept(facts.gamma, rounds, low, high))


def _first_intervals(first: Round, found: Conformal) -> tuple[dict[str, float], dict[str, float]]:
    """The lowest and the highest score of each row that round 1 scored, by id."""
    folder = locations.join(first.folder, SCORE.output)
    judged = Judged(parquet.read_parquet(folder, first.steps[SCORE.name].files, conformal.COLUMNS))
    ends = conformal.intervals(judged, found.groups)
    low, high = (dict(zip(judged.ids, map(float, end), strict=True)) for end in ends)
    return low, high


def _kept(
    gamma: float, rounds: Sequence[Round], low: dict[str, float], high: dict[str, float]
) -> Iterator[tuple[str, str]]:
    for r in rounds:
        if r.scores is None or not r.kept:
            continue
        ids = r.scores.filter(r.scores["kept"])["id"].to_pylist()
        known = [id_ for id_ in ids if id_ in low]
        surely, below = sum(low[id_] >= gamma for id_ in known), sum(high[id_] < gamma for id_ in known)
        parts = [f"{surely} surely", f"{len(known) - surely - below} perhaps", *([f"{below} not"] if below else ())]
        share = percent(surely / len(known)) if known else "–"
        yield f"{r.title}: kept rows at least {gamma:g}", f"{share} surely ({', '.join(parts)} of {len(known)})"


def alarms(facts: Calibration) -> list[tuple[str, str]]:
    """Rates at which critiques of clean pictures name any flaw, and each; none where no picture is clean for sure."""
    found = facts.false_alarms
    if found is None or found.flagged is None:
        return []
    return [("any flaw", shown(found.flagged)), *((flaw, shown(share)) for flaw, share in found.by_flaw.items())]


def alarms_note(facts: Calibration) -> str:
    """The figures' origin in a sentence, or the reason why there are none."""
    if facts.gold is None:
        return "There are no scores by people, so no picture is known to be clean: false alarms are not counted."
    found = facts.false_alarms
    if found is None and facts.conformal is None:
        return OLDER
    if found is None:
        return "People found a flaw in every picture, or scored none with 5: false alarms are not counted."
    if found.flagged is None:
        return f"The judge could criticise none of {found.set_aside} clean pictures."
    aside = f"; {found.set_aside} could not be criticised" if found.set_aside else ""
    return (
        f"Share of {found.flagged.rows} pictures without a flaw, by people's word, in which the critique names one all "
        f"the same, with its {100 * CONFIDENCE:.0f} % interval{aside}."
    )


def shown(share: Proportion | None) -> str:
    """A share with its interval and its rows."""
    if share is None:
        return "–"
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)}), {share.count} of {share.rows}"


def _multiple(group: Group) -> str:
    return "any score" if group.quantile is None else f"±{group.quantile:.2f}"


def _too_few(found: Conformal) -> str:
    few = [f"{score} ({group.rows})" for score, group in sorted(found.groups.items()) if group.quantile is None]
    if not few and found.groups:
        return ""
    needed = 2 * conformal.fewest(found.coverage)
    return (
        f"An interval at {percent(found.coverage)} needs {needed} rows with gold that the judge gives the same whole "
        f"score, half of which test it. There are too few with a score of {', '.join(few) or '1 to 5'}: of rows with "
        "these any score is possible."
    )
