"""The table of generators: means and spreads over the seeds, by hand; every copy that is painted with is trained."""

from __future__ import annotations

import string

from bench.styles import MEASURED, PAINTED, TRAINED, as_table


def test_a_row_has_mean_and_spread_of_each_figure() -> None:
    one, two = dict.fromkeys(MEASURED, 1.0), dict.fromkeys(MEASURED, 2.0)
    head, _, row, wanted = as_table({"category": [one, two]}, two).splitlines()
    assert head == f"| | {' | '.join(MEASURED)} |"
    assert row == "| category |" + " 1.50 ± 0.71 |" * len(MEASURED)  # sqrt(0.5)
    assert wanted == "| wanted |" + " 2.00 |" * len(MEASURED)


def test_what_is_painted_with_is_trained() -> None:
    named = {name for given in PAINTED.values() for one in given for _, name, *_ in string.Formatter().parse(one)}
    assert named - {None} == set(TRAINED)
