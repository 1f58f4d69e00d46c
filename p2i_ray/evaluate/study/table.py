"""A study's figures as a Markdown table, which is also what the terminal shows."""

from __future__ import annotations

from collections.abc import Sequence

from p2i_ray.evaluate.study.counting import Agreed, Results
from p2i_ray.evaluate.study.win_rates import Rate

RATES = (
    "criterion",
    "first",
    "second",
    "first preferred",
    "no difference",
    "second preferred",
    "win rate of the first",
)
COUNTS = ("votes", "raters", "products")
AGREEMENT = ("criterion", "alpha", "equal votes", "pairs with two raters")
JUDGE = ("raters' votes equal to the judge's", "where both prefer a side", "votes compared")
DASH = "–"


def markdown(results: Results) -> str:
    """The tables: rates, the judge's own rows, agreement; then the notes."""
    rows = [_rate(one) for one in [*results.rates, *results.judge]]
    lines = _lines([(*RATES, *COUNTS), *rows])
    lines += ["", "The win rate counts no difference as half, and has its 95 % interval behind it."]
    judged = results.judge_margin is not None
    lines += [
        "",
        *_lines([(*AGREEMENT, *(JUDGE if judged else ())), *(_agreed(one, judged) for one in results.agreement)]),
    ]
    raters, votes = sum(bool(number) for number in results.raters.values()), results.votes
    lines += ["", f"{raters} {_plural('rater', raters)}, {votes} {_plural('vote', votes)}."]
    if judged:
        lines[-1] += f" The judge's margin is {results.judge_margin:g}; its votes are in no figure of the raters."
    if results.judge_set_aside:
        lines += [f"The judge could not compare {results.judge_set_aside} {_plural('pair', results.judge_set_aside)}."]
    notes = [
        f"{one.criterion}, {one.first} and {one.second}: {one.note}"
        for one in [*results.rates, *results.judge]
        if one.note
    ]
    notes += [f"{one.criterion}, alpha: {one.note}" for one in results.agreement if one.note]
    lines += ["", *(f"- {note}" for note in [*notes, *results.notes])] if notes or results.notes else []
    return "\n".join(lines) + "\n"


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"


def _rate(one: Rate) -> tuple[str, ...]:
    shares = [percent(part / one.votes if one.votes else None) for part in (one.wins, one.ties, one.losses)]
    interval = f" ({percent(one.low)} to {percent(one.high)})" if one.low is not None else ""
    counts = (str(one.votes), str(one.raters), str(one.products))
    return (one.criterion, one.first, one.second, *shares, f"{percent(one.rate)}{interval}", *counts)


def _agreed(one: Agreed, judged: bool) -> tuple[str, ...]:
    own = (one.criterion, DASH if one.alpha is None else f"{one.alpha:.3f}", percent(one.same), str(one.shared))
    return (*own, percent(one.judge_same), percent(one.judge_sides), str(one.judge_votes)) if judged else own


def percent(share: float | None) -> str:
    """A share in per cent with one digit behind the point, or a dash."""
    return DASH if share is None else f"{100 * share:.1f} %"


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in cells]
    return [lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]]
