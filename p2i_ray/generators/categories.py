"""The categories of a category-wise generator, found by name."""

from __future__ import annotations

import difflib
import logging
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from p2i_ray.errors import UserError

log = logging.getLogger(__name__)

REMEMBERED = 10_000  # names that were not trained, and what is nearest to them


class Category(NamedTuple):
    """A category that is trained."""

    name: str
    parent: str = ""  # the name of the category above it; empty: there is none
    rows: int = 0  # that it is trained on


class Categories:
    """The categories of a generator, in the order of their identifiers."""

    def __init__(self, categories: Sequence[Category]) -> None:
        """Take categories whose names differ in more than case and spaces.

        Raises:
            UserError: two have one name, one has none, or there are none.
        """
        self.all = tuple(categories)
        if not self.all:
            raise UserError("a category-wise generator needs at least one category; the data has none")
        self._places: dict[str, int] = {}
        for place, category in enumerate(self.all):
            own = key(category.name)
            if not own:
                raise UserError(f"category {place + 1} of {len(self.all)} has an empty name; name it or leave it out")
            if own in self._places:
                raise UserError(
                    f"category {category.name!r} is there twice (case and spaces don't count); join the two"
                )
            self._places[own] = place
        self._nearest: dict[str, int] = {}  # of names that were not trained

    def __len__(self) -> int:
        """Number of categories."""
        return len(self.all)

    def has(self, name: str) -> bool:
        """Whether a category was trained; case and spaces don't count."""
        return key(name) in self._places

    def find(self, name: str, *, unknown: Literal["nearest", "error"]) -> int:
        """A category's place; for one that was not trained that of the nearest name, with a warning.

        A name that shares no letters with any has no nearest one.

        Args:
            name: case and spaces don't count.
            unknown: what to do with a name that was not trained.

        Raises:
            UserError: it was not trained, and that is to be an error or no name is near; or it is empty.
        """
        own = key(name)
        if own in self._places:
            return self._places[own]
        if not own:
            raise UserError("the request has no category; name one, or leave the category-wise generator out")
        if own not in self._nearest:
            likeness = {other: difflib.SequenceMatcher(None, own, other).ratio() for other in self._places}
            nearest = max(likeness, key=lambda other: likeness[other])
            place = self._places[nearest]
            if not likeness[nearest]:
                raise UserError(
                    f"category {name!r} was not trained, and no name is near it; name one that was, such as "
                    f"{self.all[0].name!r}"
                )
            if unknown == "error":
                raise UserError(
                    f"category {name!r} was not trained; the nearest name is {self.all[place].name!r} "
                    "(generators.unknown_category=nearest takes that)"
                )
            log.warning("category %r was not trained; it is painted as %r", name, self.all[place].name)
            if len(self._nearest) >= REMEMBERED:  # a service is given new names for weeks
                self._nearest.clear()
            self._nearest[own] = place
        return self._nearest[own]

    def stand_in(self, name: str, *, unknown: Literal["nearest", "error"]) -> str | None:
        """The trained category that one is painted as; none: it was trained itself. See `find`."""
        place = self.find(name, unknown=unknown)
        return None if self.has(name) else self.all[place].name

    def siblings(self, place: int) -> list[int]:
        """The places of the other categories of the same parent; none without a parent."""
        parent = self.all[place].parent
        return [p for p, other in enumerate(self.all) if parent and other.parent == parent and p != place]


def key(name: str) -> str:
    """The form in which names are compared: case and spaces don't count, nor how accents are stored (macOS has NFD)."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
