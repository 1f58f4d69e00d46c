"""Agreement of raters: Krippendorff's alpha, and the plain share of equal votes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha of nominal values: 1 for full agreement, 0 for what chance gives, below for less.

    Raters need not have answered everything; what only one has answered says nothing.

    Args:
        units: for each thing that was rated the values that it was given.

    Returns:
        None where it is undefined: nothing was rated twice, or there is one value alone.
    """
    paired = [list(unit) for unit in units if len(unit) > 1]
    totals = Counter(value for unit in paired for value in unit)
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())  # ordered pairs of different values
    if not expected:
        return None
    observed = 0.0
    for unit in paired:
        own = Counter(unit)
        observed += (len(unit) ** 2 - sum(count * count for count in own.values())) / (len(unit) - 1)
    return 1 - (n - 1) * observed / expected


def same_votes(units: Sequence[Sequence[Hashable]]) -> tuple[int, int]:
    """Count the pairs of votes on the same thing that are equal, and all such pairs."""
    pairs = [one == other for unit in units for one, other in itertools.combinations(unit, 2)]
    return sum(pairs), len(pairs)


def same_as(units: Sequence[Sequence[Hashable]], values: Sequence[Hashable | None]) -> tuple[int, int]:
    """Count the votes that equal another rater's value of the same thing, and those that can be compared with one."""
    pairs = [vote == value for unit, value in zip(units, values, strict=True) if value is not None for vote in unit]
    return sum(pairs), len(pairs)
