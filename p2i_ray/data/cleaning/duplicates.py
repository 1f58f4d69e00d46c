"""Of pictures that look alike one is kept: that of the first id in the alphabet, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

from p2i_ray.data import near_duplicates


def superfluous(ids: Sequence[str], fingerprints: Sequence[bytes], settled: int = 0) -> dict[int, str]:
    """The places of rows that look like another that is kept, each with that one's id.

    Args:
        ids: of the rows.
        fingerprints: of their pictures, see near_duplicates.
        settled: so many rows at the start are kept in any case.
    """
    alike = near_duplicates.connected(near_duplicates.pairs(fingerprints), len(ids))
    kept: dict[int, tuple[bool, str]] = {}  # component -> the first of its rows, those that are settled before others
    for place, component in enumerate(alike):
        mine = (place >= settled, ids[place])
        kept[component] = min(kept.get(component, mine), mine)
    first = [kept[component][1] for component in alike]
    return {place: first[place] for place in range(settled, len(ids)) if first[place] != ids[place]}
