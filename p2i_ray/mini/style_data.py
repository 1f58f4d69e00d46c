"""Write the toy world of styles as EPBD: `python -m p2i_ray.mini.style_data --out data/mini-styles`.

Every picture is without flaws, in its category's scene, and in one brand's style (styles.py). Styles are as frequent in
each category as in all. test_unseen has the styles of two brands that no other split shows.

Each row of validation, test and test_unseen has a reference: a picture of another product in the row's style, of the
same category in half of the rows. So the row's own `image` is what a personality-wise generator should paint for its
cutout. Two columns more than EPBD has: `reference` (RGB), and `reference_cutout`, RGBA as the column `cutout` is: the
reference's pixels, its product's mask as alpha.

`styles.parquet` (id, split, style, and what the reference is) is the truth, for measuring alone: nothing that trains or
paints may read it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.data.schema import IMAGE, SCHEMA
from p2i_ray.mini import data, styles, world
from p2i_ray.mini.world import CLEAN, Sample

SPLITS: dict[str, tuple[str, ...]] = {  # split -> the styles that it shows
    "train": styles.SEEN,
    "validation": styles.SEEN,
    "test": styles.SEEN,
    "test_unseen": styles.UNSEEN,
}
TRUTH_FILE = "styles.parquet"
TRUTH = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("style", pa.string()),  # of the row's picture, and of its reference
        ("reference_id", pa.string()),  # null in the training split, as what follows
        ("reference_category", pa.string()),
        ("same_category", pa.bool_()),
    ]
)
WORLDS = 10_000  # the first world of this data; data.py's and the models' are below
_TRIES = 1000  # pictures that may be looked through for one reference


def _schema_with_references() -> pa.Schema:
    features = json.loads(SCHEMA.metadata[b"huggingface"])
    features["info"]["features"] |= {"reference": {"_type": "Image"}, "reference_cutout": {"_type": "Image"}}
    fields = [pa.field("reference", IMAGE), pa.field("reference_cutout", IMAGE)]
    return pa.schema([*SCHEMA, *fields], metadata={b"huggingface": json.dumps(features).encode()})


SCHEMA_WITH_REFERENCES = _schema_with_references()


def make(
    out: str | Path,
    *,
    train: int = 1200,
    validation: int = 128,
    test: int = 128,
    test_unseen: int = 128,
    seed: int = 1,
) -> Path:
    """Write the four splits and styles.parquet.

    Args:
        out: folder to write; splits that are there are replaced.
        train: rows of the training split.
        validation: rows of the validation split.
        test: rows of the test split.
        test_unseen: rows of the split of unseen styles.
        seed: of the world. Splits and references share no picture.

    Returns:
        The folder.
    """
    root = Path(out)
    truth: list[dict[str, object]] = []
    rows = {"train": train, "validation": validation, "test": test, "test_unseen": test_unseen}
    for number, (split, shown) in enumerate(SPLITS.items()):
        folder = root / split
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.parquet"):
            old.unlink()
        first = WORLDS + 10 * seed + number
        categories = [world.render(first, index, CLEAN).category for index in range(rows[split])]
        cells = assign(categories, shown)
        schema = SCHEMA if split == "train" else SCHEMA_WITH_REFERENCES
        for part, start in enumerate(range(0, len(cells), data.ROWS_PER_FILE)):
            indices = range(start, min(len(cells), start + data.ROWS_PER_FILE))
            written, known = zip(*_rows(first, indices, cells, split=split), strict=True)
            pq.write_table(pa.Table.from_pylist(list(written), schema=schema), folder / f"part-{part:03d}.parquet")
            truth += known
    pq.write_table(pa.Table.from_pylist(truth, schema=TRUTH), root / TRUTH_FILE)
    return root


def assign(categories: Sequence[str], shown: Sequence[str]) -> list[tuple[str, bool]]:
    """The style of each row, and whether its reference is of the row's own category.

    Both are dealt out in turn, category by category: how often two styles occur, in a category or in all, differs by
    one at the most; and half of a style's references are of the row's category.

    Args:
        categories: of the rows.
        shown: the styles to deal out.

    Returns:
        A style and a choice for each row.
    """
    cells: list[tuple[str, bool]] = [("", False)] * len(categories)
    for place, index in enumerate(sorted(range(len(categories)), key=lambda i: (categories[i], i))):
        turn, style = divmod(place, len(shown))
        cells[index] = shown[style], (turn + style) % 2 == 0
    return cells


def reference_of(sample: Sample, index: int, *, seed: int, style: str, same_category: bool) -> Sample:
    """A picture of another product, in a style.

    Args:
        sample: the row's.
        index: the row's; every row has a range of the world's pictures to itself.
        seed: of the world of references.
        style: a key of `STYLES`.
        same_category: whether it shows a product of the row's category, or one of another.
    """
    for place in range(index * _TRIES, (index + 1) * _TRIES):
        found = styles.render(seed, place, style)
        if (found.category == sample.category) == same_category and found.name != sample.name:
            return found
    raise AssertionError(f"{_TRIES} pictures without one that suits {sample.id}")  # its chance is below 1e-30


def _rows(
    seed: int, indices: Sequence[int], cells: Sequence[tuple[str, bool]], *, split: str
) -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """Each row, and the truth about it."""
    for index in indices:
        style, same_category = cells[index]
        sample = styles.render(seed, index, style)
        row = data.row(sample)
        known: dict[str, object] = {"id": sample.id, "split": split, "style": style}
        if split != "train":
            reference = reference_of(sample, index, seed=seed + 5, style=style, same_category=same_category)
            shown = data.row(reference)
            row |= {"reference": shown["image"], "reference_cutout": shown["cutout"]}
            known |= {
                "reference_id": reference.id,
                "reference_category": reference.category,
                "same_category": same_category,
            }
        yield row, known


def main() -> None:
    """Write the data that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="data/mini-styles", help="folder to write (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the world's seed (%(default)s)")
    for split, default in (("train", 1200), ("validation", 128), ("test", 128), ("test_unseen", 128)):
        name = f"--{split.replace('_', '-')}"
        parser.add_argument(name, type=int, default=default, help=f"rows of {split} (%(default)s)")
    args = vars(parser.parse_args())
    make(**args)
    print(json.dumps(args))


if __name__ == "__main__":
    main()
