"""Rows that ingest set aside, by the kind of reason: their number, their share, and pictures of some."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from p2i_ray.data.cleaning.settings import RULES, CleaningConfig
from p2i_ray.data.rejected import kind
from p2i_ray.data.schema import RECORD, REJECTED
from p2i_ray.data.sources import examples
from p2i_ray.report.gallery import Picture
from p2i_ray.storage import folders, locations, parquet


class Removed(NamedTuple):
    """The rows that were set aside for one kind of reason."""

    kind: str
    rule: str  # the cleaning rule, as setting=value; empty: none of them
    rows: int
    share: float  # of all rows of the source
    pictures: list[Picture]


def removed(data: str, rows: int) -> Iterator[Removed]:
    """Each kind of reason, the most frequent first; then the cleaning rules that were on and removed nothing.

    Args:
        data: EPBD folder.
        rows: in its splits.
    """
    counts, rules, shown = _counts(data), _rules(data), _pictures(data)
    total = rows + sum(counts.values())
    for what, number in counts.most_common():
        yield Removed(what, rules.get(what, ""), number, share=number / total, pictures=shown.get(what, []))
    for what, rule in rules.items():
        if what not in counts:
            yield Removed(what, rule, 0, share=0.0, pictures=[])


def _counts(data: str) -> Counter[str]:
    folder = locations.join(data, REJECTED)
    files = folders.names(folder, ".parquet")
    reasons = parquet.read_parquet(folder, files, ["reason"])["reason"].to_pylist() if files else []
    return Counter(map(kind, reasons))


def _rules(data: str) -> dict[str, str]:
    """The cleaning rules that were on in the last ingestion, by their kinds of reason."""
    record = locations.join(data, RECORD)
    settings: dict[str, Any] = {}
    if locations.exists(record):
        settings = json.loads(locations.read_text(record)).get("ingest", {}).get("cleaning", {})
    on = {
        what: (name, settings[name])
        for what, name in RULES.items()
        if settings.get(name) not in (None, CleaningConfig.model_fields[name].default)
    }
    return {what: f"{name}={'true' if value is True else f'{value:g}'}" for what, (name, value) in on.items()}


def _pictures(data: str) -> dict[str, list[Picture]]:
    found: dict[str, list[Picture]] = {}
    for row in examples.read(data).to_pylist():
        figure = row["reason"].partition(": ")[2].partition("; ingest.cleaning.")[0]  # the table has the setting
        uri = f"data:image/webp;base64,{base64.b64encode(row['image']['bytes']).decode()}"
        found.setdefault(kind(row["reason"]), []).append(
            Picture(uri, f"the photo of {row['name']}", row["name"], figure)
        )
    return found
