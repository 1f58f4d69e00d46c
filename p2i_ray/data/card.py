"""The card of a data set: README.md as the Hugging Face hub shows it, and as `datasets` reads its splits from it."""

from __future__ import annotations

import hashlib
import html
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from p2i_ray.data import checksums
from p2i_ray.data.checksums import Checksum
from p2i_ray.data.schema import SPLITS
from p2i_ray.storage import locations

FILE = "README.md"
BESIDE = "README.new.md"  # where there is a README.md already, which people may have filled in
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
_PATHS = ("model", "people_model", "attractiveness_prompt")  # settings that name something on this machine


class Facts(NamedTuple):
    """A card's facts."""

    source: str  # location of the photos
    names: str  # location of the list; empty: the source has its own
    rows: int  # of the source
    splits: Mapping[str, int]  # split -> rows
    without_scene: int
    products: int
    rejected: Mapping[str, int]  # reason -> rows
    settings: Mapping[str, Any]  # all that were used, nested, JSON values
    checksums: Sequence[Checksum]


def write(data: str, facts: Facts, ours: str = "") -> tuple[str, str]:
    """Write the card and the list of checksums into a data folder.

    A card that is there stays, unless it is as it was written: its owner may have filled it in.

    Args:
        data: the folder.
        facts: what the card says.
        ours: the digest of the card that was written before.

    Returns:
        The card's location, and the digest of the card that isn't filled in: the new one's, or `ours`.
    """
    written, card = text(posixpath.basename(data), facts), locations.join(data, FILE)
    digest = hashlib.sha256(written.encode()).hexdigest()
    if locations.exists(card) and hashlib.sha256(locations.read_bytes(card)).hexdigest() != ours:
        card, digest = locations.join(data, BESIDE), ours
    locations.write_text(locations.join(data, checksums.FILE), checksums.text(facts.checksums))
    locations.write_text(card, written)
    return card, digest


def text(title: str, facts: Facts) -> str:
    """The card. It names no path of this machine, but for the last part of the source's."""
    rows = sum(facts.splits.values())
    filled = {split: facts.splits[split] for split in SPLITS if facts.splits.get(split)}
    head = {
        "pretty_name": title,
        "task_categories": ["image-to-image"],
        "tags": ["product-photography", "inpainting"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), _LARGEST)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/*.parquet"} for split in filled],
            }
        ],
    }
    sums = hashlib.sha256(checksums.text(facts.checksums).encode()).hexdigest()
    size = sum(one.size for one in facts.checksums)
    named = f", products listed in {_code(_last(facts.names))}" if facts.names else ""
    return f"""---
license: unknown  # fill in: the identifier of a licence, or `other` with license_name and license_link
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---
# {_plain(title)}

Product photos for painting backgrounds: each row has a product's cutout C (`cutout`, RGBA), its name P (`name`), its
`category`, and the photo I with a background (`image`; null where the cutout came without one). Rows with the same
`group` show one product, and are in one split. `quality` has figures of each cutout.

## Licence

**To be filled in by the owner:** whose the photos, names and categories are, and who may do what with them.

## Rows

{_table(("split", "rows"), filled)}

{rows:,} rows of {facts.products:,} products. {facts.without_scene:,} of them are cutouts without a scene: they can be
painted and tested, and are no training target.

## Source

{_code(_last(facts.source))}{named}: {facts.rows:,} rows. **To be filled in by the owner:** who took the
photos, when, and for what.

{_table(("set aside because of", "rows"), facts.rejected) if facts.rejected else "No row was set aside."}

Each row of the source is in a split, or in `rejected/` with its reason.

## Settings

Made by `jobs/ingest.py` of p2i_ray with:

```yaml
{_settings(facts.settings)}```

## Files

{len(facts.checksums):,} Parquet files and lists, {size:,} bytes; `{checksums.FILE}` has the SHA-256 of each
(`sha256sum --check {checksums.FILE}`), and is itself `{sums}`.
"""


def _table(head: tuple[str, str], counts: Mapping[str, int]) -> str:
    lines = [f"| {_plain(label)} | {count:,} |" for label, count in counts.items()]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *lines])


def _settings(settings: Mapping[str, Any]) -> str:
    # On one line each, so that no text of the user's can end the block.
    return yaml.safe_dump(_without_paths(settings), sort_keys=False, allow_unicode=True, width=1 << 20)


def _without_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_paths(value)
        if isinstance(value, Mapping)
        else _last(value)
        if key in _PATHS and isinstance(value, str)
        else list(value)
        if isinstance(value, tuple)
        else value
        for key, value in settings.items()
    }


def _last(location: str) -> str:
    """The last part of a location, without what a URI may have for keys."""
    if locations.is_uri(location):
        location = location.partition("?")[0].rpartition("@")[2]
    return posixpath.basename(location.rstrip("/"))


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _plain(text: str) -> str:
    """A text that Markdown takes for nothing but text."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+!|~" else sign for sign in " ".join(text.split()))
    return html.escape(escaped, quote=False)
