"""Which product each new row shows, and the split it goes to; rows that are there keep both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.data import groups, splits
from p2i_ray.data.cleaning import duplicates
from p2i_ray.data.splits import Assigned

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.data.sources.tasks import IngestConfig

BETWEEN = "between splits: its product is in {splits} already, and photos of one product are in one split"


class Home(NamedTuple):
    """What became of a row: its product and its split, or why it is in none."""

    product: str
    split: str
    reason: str | None = None


def find(
    rows: pa.Table, before: pa.Table, renamed: pa.Table | None = None, *, settings: IngestConfig, seed: int
) -> list[Home]:
    """The home of each new row.

    Args:
        rows: id, group, name, category, fingerprint and scene of those that are new.
        before: the ledger's lines.
        renamed: some of those as the source has them now, see additions.changed.
        settings: what makes a product, what is superfluous, and the splits.
        seed: of the splits.
    """
    import pyarrow as pa

    columns = ["id", "group", "name", "category", "fingerprint", "scene"]
    known = before if renamed is None else pa.concat_tables([before, renamed])
    shown = pa.concat_tables([known.select(columns), rows.select(columns)])
    homes: list[Home | None] = [None] * rows.num_rows
    if settings.cleaning.near_duplicates:
        ids, fingerprints = shown["id"].to_pylist(), shown["fingerprint"].to_pylist()
        doubles = duplicates.superfluous(ids, fingerprints, settled=known.num_rows)
        for place, first in doubles.items():
            reason = f"near-duplicate: its picture looks like that of {first}"
            homes[place - known.num_rows] = Home("", "", reason)
        shown = shown.filter(pa.array([place not in doubles for place in range(shown.num_rows)], pa.bool_()))
    open_places = [place for place, home in enumerate(homes) if home is None]

    keys = groups.find(shown, settings.groups)
    taken = list(zip(known["product"].to_pylist(), known["split"].to_pylist(), strict=True))
    products, settled = _settled(keys, taken)
    apart = {key for key, found in settled.items() if len(found) > 1}
    new = shown.slice(known.num_rows)
    categories, scenes = new["category"].to_pylist(), new["scene"].to_pylist()
    free = [place for place, product in enumerate(products) if product not in apart]
    assigned = iter(
        splits.assign(
            [products[place] for place in free],
            [categories[place] for place in free],
            [scenes[place] for place in free],
            settings=settings.split,
            seed=seed,
            before=taken[: before.num_rows],
        )
    )
    for place, product in zip(open_places, products, strict=True):
        if product in apart:
            between = " and ".join(sorted(settled[product]))
            home = Assigned("", BETWEEN.format(splits=between))
        else:
            home = next(assigned)
        homes[place] = Home(product, *home)
    return [home for home in homes if home is not None]


def _settled(keys: Sequence[str], taken: Sequence[tuple[str, str]]) -> tuple[list[str], dict[str, set[str]]]:
    """The products of the new rows, and the splits in which those that are there already have rows.

    Args:
        keys: what each row shows by all that is known now; first the rows that are there.
        taken: product and split of those.
    """
    names: dict[str, str] = {}  # key -> the product as it is called already
    found: dict[str, set[str]] = {}
    for key, (product, split) in zip(keys, taken, strict=False):
        names[key] = min(names.get(key, product), product)
        found.setdefault(key, set()).add(split)
    products = [names.get(key, key) for key in keys[len(taken) :]]
    return products, {names[key]: splits for key, splits in found.items()}
