"""The page of a data set: rows, categories, sizes, cutouts, what leaks between splits, what was set aside, pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.config import ImageConfig
from p2i_ray.data import footers, leaks
from p2i_ray.data.schema import SPLITS
from p2i_ray.report import dataset_rejected, pictures
from p2i_ray.report.dataset_plots import histogram
from p2i_ray.report.gallery import Picture, Strip
from p2i_ray.report.page import render
from p2i_ray.storage import locations

CATEGORIES = 30  # the paper's Figure 3
SAMPLES = 6  # rows shown of each split
WORST = 12  # cutouts shown that deserve a look
LEAKING = 6  # examples of what is in several splits
ROW_GROUPS = 4  # a split's samples come from its first row groups
LEAKS = {
    "products_in_several_splits": "products with rows in more than one split",
    "names_in_several_splits": "names with rows in more than one split",
    "images_in_several_splits": "pictures that are in more than one split",
    "near_duplicates_in_several_splits": "pairs of near-duplicates in different splits",
    "repeated_ids": "ids that occur again",
    "repeated_images": "pictures that occur again",
}


class Plot(NamedTuple):
    """A plot and the words above it."""

    title: str
    note: str
    svg: Any


class Bars(NamedTuple):
    """Numbers of rows by something that is a text, the largest first."""

    title: str
    note: str
    counts: list[tuple[str, int]]


class Split(NamedTuple):
    """A line of the table."""

    name: str
    rows: int
    scenes: int
    products: int


def write(data: str, measured: pa.Table, figures: dict[str, Any], *, image: ImageConfig, out: str) -> str:
    """Write <out>/stats.html and return its location.

    Args:
        data: EPBD folder.
        measured: its rows, as statistics.measure has them.
        figures: as statistics.summarise has them.
        image: limits of pictures.
        out: a folder.
    """
    rejected = list(dataset_rejected.removed(data, measured.num_rows))
    page = render(
        "dataset.html",
        data=data,
        figures=figures,
        splits=list(_splits(measured)),
        leak_counts=[(words, figures[key]) for key, words in LEAKS.items()],
        elsewhere=figures["unseen_categories_elsewhere"],
        rejected=rejected,
        rejected_rows=sum(kind.rows for kind in rejected),
        unusable=figures["unusable"],
        plots=list(_plots(measured)),
        bars=list(_bars(measured, figures)),
        leaks=list(_leaks(data, measured, image)),
        worst=list(_worst(data, measured, image)),
        samples=[(split, list(_samples(data, split, image))) for split in SPLITS if split in figures["splits"]],
    )
    location = locations.join(out, "stats.html")
    locations.write_text(location, page)
    return location


def _splits(measured: pa.Table) -> Iterator[Split]:
    products = leaks.products_of_splits(measured)
    for split in SPLITS:
        rows = measured.filter(pc.equal(measured["split"], split))
        if rows.num_rows:
            yield Split(split, rows.num_rows, pc.sum(rows["scene"]).as_py(), products[split])


def _bars(measured: pa.Table, figures: dict[str, Any]) -> Iterator[Bars]:
    categories = Counter(measured["category"].to_pylist()).most_common(CATEGORIES)
    note = f"the {len(categories)} largest of {figures['categories']:,}"
    yield Bars("Categories", note if figures["categories"] > len(categories) else "", categories)
    yield Bars("Picture sizes", "pixels, the most frequent", list(figures["image_sizes"].items()))


def _plots(measured: pa.Table) -> Iterator[Plot]:
    lengths = [len(name) for name in measured["name"].to_pylist()]
    yield Plot("Names", "characters", histogram("characters", lengths))
    shares = [share for share in measured["product_share"].to_pylist() if share is not None]
    if shares:
        yield Plot("Products", "share of the picture that is the product's", histogram("share", shares))
    doubts = [doubt for doubt in measured["doubt"].to_pylist() if doubt is not None]
    if doubts:
        yield Plot(
            "Cutouts", "doubt: 0 none, above 1 set aside unless the limits were raised", histogram("doubt", doubts)
        )


def _worst(data: str, measured: pa.Table, image: ImageConfig) -> Iterator[Strip]:
    """The cutouts that deserve a look: of most doubt; without figures, those that are the least part of a picture."""
    shown = measured.filter(pc.is_valid(measured["product_share"]))
    by_doubt = shown.filter(pc.is_valid(shown["doubt"]))
    key, rows = ("doubt", by_doubt) if by_doubt.num_rows else ("product_share", shown)
    order = "descending" if key == "doubt" else "ascending"
    lines = rows.sort_by([(key, order), ("id", "ascending")]).slice(0, WORST).select(["id", "split", key]).to_pylist()
    found = _fetch(data, lines)
    for line in lines:
        note = f"{'doubt' if key == 'doubt' else 'share of the picture'} {line[key]:.2f} · {line['split']}"
        if row := found.get((line["split"], line["id"])):
            yield _strip(row, note, image)


def _leaks(data: str, measured: pa.Table, image: ImageConfig) -> Iterator[tuple[str, list[Strip]]]:
    """The values that rows of several splits have in common, and those rows."""
    for leak in leaks.examples(measured, LEAKING):
        lines = measured.select(["id", "split"]).take(leak.rows).to_pylist()
        found = _fetch(data, lines)
        rows = [(line["split"], found.get((line["split"], line["id"]))) for line in lines]
        yield leak.what, [_strip(row, split, image) for split, row in rows if row]


def _fetch(data: str, lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows with their pictures by (split, id)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for split in {line["split"] for line in lines}:
        ids = [line["id"] for line in lines if line["split"] == split]
        rows = pictures.rows_by_id(footers.split_files(data, split), ids, ["name", "image", "cutout"])
        found |= {(split, id): row for id, row in rows.items()}
    return found


def _samples(data: str, split: str, image: ImageConfig) -> Iterator[Strip]:
    files = footers.split_files(data, split)
    ids = pictures.first_ids(files, ROW_GROUPS)
    rows = pictures.rows_by_id(
        files, pictures.spread(_categories(files, ids), SAMPLES), ["name", "category", "image", "cutout"]
    )
    for row in rows.values():
        yield _strip(row, row["category"], image)


def _categories(files: list[str], ids: list[str]) -> pa.Table:
    rows = pictures.rows_by_id(files, ids, ["category"])
    return pa.table({"id": list(rows), "category": [row["category"] for row in rows.values()]})


def _strip(row: dict[str, Any], note: str, image: ImageConfig) -> Strip:
    name = row["name"]
    cutout = Picture(
        pictures.data_uri((row["cutout"] or {}).get("bytes"), image), f"the cutout of {name}", "cutout", note
    )
    photo = Picture(
        pictures.data_uri((row["image"] or {}).get("bytes"), image) if row["image"] else None,
        f"the photo of {name}",
        "photo" if row["image"] else "no scene",
    )
    return Strip(name, [cutout, photo])
