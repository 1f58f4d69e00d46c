"""The pairs of an ingested list, kept beside the data: its rows are pictures, each once, however many pairs it is in.

<data>/pairs.json   a line for each of the list as it was ingested last, in its order, also for those that are no pair
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from p2i_ray.data.schema import PAIRS
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


class Pair(NamedTuple):
    """A line of the list."""

    id: str  # of the pair, by the number of its line
    picture: str = ""  # id of the row that shows the product
    reference: str = ""  # id of the row whose style is wanted
    category: str = ""  # of the product
    reason: str | None = None  # why the line is no pair; None if it is one


def write(pairs: Sequence[Pair], data: str) -> None:
    """Keep the pairs of the list whose pictures were ingested into a folder; they replace those of an earlier list."""
    lines = [json.dumps(pair._asdict(), ensure_ascii=False) for pair in pairs]
    locations.write_text(locations.join(data, PAIRS), "[\n" + ",\n".join(lines) + "\n]\n")


def read(data: str) -> list[Pair]:
    """The pairs that a folder has.

    Raises:
        UserError: none.
    """
    file = locations.join(data, PAIRS)
    if not locations.exists(file):
        raise UserError(f"{data} has no pairs ({PAIRS}); ingest a source with bgpair_info.txt into a new folder")
    return [Pair(**line) for line in json.loads(locations.read_text(file))]
