"""Votes as scores of the studied pictures, 1 to 5, which the judge can be calibrated with.

A picture's score is 1 + 4 x its share of wins over all raters, criteria and pairs; no difference is half a win. So it
is relative to the other methods of the study: ranks mean something, the distance to a threshold doesn't.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from p2i_ray.evaluate.study.study import Study
from p2i_ray.evaluate.study.votes import Ballot
from p2i_ray.storage import spreadsheet

FILE = "gold.csv"
HEAD = ("id", "score", "votes", "product", "method")
WINS = {"left": (1.0, 0.0), "none": (0.5, 0.5), "right": (0.0, 1.0)}  # of the left and of the right picture


def scores(study: Study, ballots: Sequence[Ballot]) -> dict[str, tuple[float, int]]:
    """Score and number of votes of each picture that was voted on, by its key."""
    wins: dict[str, list[float]] = {}
    for ballot in ballots:
        for (question, _), choice in ballot.votes.items():
            asked = study.questions[question]
            for key, won in zip((asked.left, asked.right), WINS[choice], strict=True):
                wins.setdefault(key, []).append(won)
    return {key: (1 + 4 * sum(won) / len(won), len(won)) for key, won in sorted(wins.items())}


def as_csv(study: Study, ballots: Sequence[Ballot]) -> str:
    """The scores as a CSV file that calibration.gold takes; its ids are those of the study's pictures."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for key, (score, votes) in scores(study, ballots).items():
        named = map(spreadsheet.as_text, (study.pictures[key].product, study.pictures[key].method))
        writer.writerow([key, f"{score:.6g}", votes, *named])
    return out.getvalue()
