"""Short names of evaluations, by which a figure's legend tells them apart."""

from __future__ import annotations

from collections.abc import Sequence


def short(folders: Sequence[str]) -> dict[str, str]:
    """The fewest last parts of each folder's location by which all differ, by location.

    Args:
        folders: locations, each once.
    """
    parts = [folder.rstrip("/").split("/") for folder in folders]
    for count in range(1, max(map(len, parts), default=1) + 1):
        found = ["/".join(own[-count:]) for own in parts]
        if len(set(found)) == len(found):
            return dict(zip(folders, found, strict=True))
    return {folder: folder for folder in folders}
