"""Of pictures that look alike one is kept: that of the first id in the alphabet, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

from p2i_ray.data import near_duplicates


def superfluous(ids: Sequence[str], fingerprints: Sequence[bytes]) -> dict[int, str]:
    """The places of rows that look like another that is kept, each with that one's id.

    Args:
        ids: of the rows.
        fingerprints: of their pictures, see near_duplicates.
    """
    alike = near_duplicates.connected(near_duplicates.pairs(fingerprints), len(ids))
    kept: dict[int, str] = {}
    for place, component in enumerate(alike):
        kept[component] = min(kept.get(component, ids[place]), ids[place])
    return {place: kept[component] for place, component in enumerate(alike) if kept[component] != ids[place]}
