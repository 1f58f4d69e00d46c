"""Statistics of a data set: rows, categories, name lengths, picture sizes, product fractions and duplicates."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.config import ImageConfig
from p2i_ray.data import footers, groups, leaks, near_duplicates, reading
from p2i_ray.data.images import ImageError, decode, encoded, has_picture, product_mask
from p2i_ray.data.schema import QUALITY, SCHEMA, SPLITS
from p2i_ray.storage import folders, locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "id",
    "group",
    "name",
    "category",
    "scene",
    "width",
    "height",
    "product_share",
    "cut_by",
    "doubt",
    "digest",
    "fingerprint",
    "error",
)


def measure(data: str, work: str, image: ImageConfig, progress: parquet.Progress | None = None) -> pa.Table:
    """Measure every sample on the workers: one small row each (split, and `COLUMNS`). Ray must be connected.

    Args:
        data: EPBD folder.
        work: location for the workers' rows, which all nodes reach; the caller removes it.
        image: limits of decoding.
        progress: called with the number of rows done.

    Raises:
        UserError: no data there.
    """
    import pyarrow as pa

    tables = []
    for split in splits_of(data):
        columns = [column for column in (*SCHEMA.names, "group", "quality") if column in _known(data, split)]
        rows = reading.read_split(data, split, columns=columns)
        folder = locations.join(work, split)
        measured = rows.map_batches(
            _measure,  # type: ignore[arg-type]  # Ray types a batch as any of its formats
            fn_kwargs={"image": image},
            batch_format="pyarrow",
            batch_size=64,
            **ResourceSpec(cpus=0.5).task_options(),
        )
        written = parquet.write_parquet(measured, folder, _schema(), progress)
        table = parquet.read_parquet(folder, written.files)
        tables.append(table.append_column("split", pa.array([split] * table.num_rows, pa.string())))
    return pa.concat_tables(tables)


def _known(data: str, split: str) -> list[str]:
    """The columns that all files of a split have; another writer's `quality` may be anything, and is none of ours."""
    found = footers.columns(data, split)
    if "quality" in found:
        own = footers.each(
            footers.split_files(data, split),
            lambda _, footer: footer.schema.to_arrow_schema().field("quality").type == QUALITY,
        )
        if not all(own):
            found.remove("quality")
    return found


def splits_of(data: str) -> list[str]:
    """The splits that a folder has.

    Raises:
        UserError: none.
    """
    found = [split for split in SPLITS if folders.files(locations.join(data, split), ".parquet")]
    return found or reading.split_files(data, SPLITS[0])  # raises, and says what is wrong


def summarise(table: pa.Table) -> dict[str, Any]:
    """The figures of `measure`'s rows, for JSON. Fractions are of a picture's area; duplicates are counted in rows."""
    split, category, name = (table[column].to_pylist() for column in ("split", "category", "name"))
    ids, digests = table["id"].to_pylist(), [digest for digest in table["digest"].to_pylist() if digest]
    unseen = {groups.named(c) for c, s in zip(category, split, strict=True) if s == "test_unseen"}
    seen = {groups.named(c) for c, s in zip(category, split, strict=True) if s != "test_unseen"}
    sides = zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)
    sizes = Counter(f"{width}x{height}" for width, height in sides if width)
    return {
        "rows": table.num_rows,
        "splits": dict(Counter(split)),
        "categories": len(set(category)),
        "largest_categories": dict(Counter(category).most_common(20)),
        "unseen_categories_elsewhere": sorted(seen & unseen),
        "name_chars": _spread([len(text) for text in name]),
        "image_sizes": dict(sizes.most_common(10)),
        "product_share": _spread(table["product_share"].to_pylist()),
        "without_scene": dict(
            Counter(s for s, scene in zip(split, table["scene"].to_pylist(), strict=True) if not scene)
        ),
        "repeated_ids": len(ids) - len(set(ids)),
        "repeated_images": len(digests) - len(set(digests)),
        **leaks.count(table),
        "cutouts": _cutouts(table),
        "unusable": dict(Counter(reason.partition(": ")[0] for reason in table["error"].to_pylist() if reason)),
    }


def _cutouts(table: pa.Table) -> dict[str, dict[str, Any]]:
    """By where the masks are from: rows, their doubt, and how many are beyond a limit of the cutter's."""
    found: dict[str, list[float | None]] = {}
    for source, doubt in zip(table["cut_by"].to_pylist(), table["doubt"].to_pylist(), strict=True):
        if source:
            found.setdefault(source, []).append(doubt)
    return {
        source: {"rows": len(doubts), "doubt": _spread(doubts), "beyond": sum((doubt or 0) > 1 for doubt in doubts)}
        for source, doubts in sorted(found.items(), key=lambda one: -len(one[1]))
    }


def plot(table: pa.Table, title: str) -> bytes:
    """Plot rows a category, name lengths and product fractions as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(title, parse_math=False)
    categories, names, fractions = figure.subplots(1, 3)
    largest = Counter(table["category"].to_pylist()).most_common(20)[::-1]
    labels = [name[:24].replace("$", r"\$") for name, _ in largest]  # two of them enclose a formula
    categories.barh(labels, [rows for _, rows in largest], color="tab:blue")
    categories.set(title="largest categories", xlabel="rows")
    categories.tick_params(axis="y", labelsize=8)
    names.hist([len(name) for name in table["name"].to_pylist()], bins=30, color="tab:blue")
    names.set(title="product names", xlabel="characters", ylabel="rows")
    known = np.array([value for value in table["product_share"].to_pylist() if value is not None])
    fractions.hist(100 * known, bins=np.arange(0, 101, 5), color="tab:blue")
    fractions.set(title="product", xlabel="% of the picture", ylabel="rows")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"scene": pa.bool_(), "fingerprint": pa.binary()}
    kinds |= {"width": pa.int32(), "height": pa.int32(), "product_share": pa.float64()}
    kinds["doubt"] = pa.float64()
    return pa.schema([(column, kinds.get(column, pa.string())) for column in COLUMNS])


def _measure(batch: pa.Table, image: ImageConfig) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([_measure_row(row, image) for row in batch.to_pylist()], schema=_schema())


def _measure_row(row: dict[str, Any], image: ImageConfig) -> dict[str, Any]:
    found: dict[str, Any] = {column: row.get(column) for column in ("id", "group", "name", "category")}
    found["scene"] = has_picture(row["image"])
    quality = row.get("quality") or {}
    found |= {"cut_by": quality.get("source"), "doubt": quality.get("doubt")}
    try:
        cutout = None if found["scene"] else decode(encoded(row["cutout"]), image)
        picture = cutout or decode(encoded(row["image"]), image).convert("RGB")
        found |= {"width": picture.width, "height": picture.height}
        found["digest"] = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
        found["fingerprint"] = near_duplicates.fingerprint(np.asarray(picture))
        cutout = cutout or decode(encoded(row["cutout"]), image)
        found["product_share"] = float((product_mask(cutout) >= 128).mean())
        _check(row["name"], picture.size, cutout.size, image)
    except ImageError as error:
        found["error"] = str(error)
    return found


def _check(name: str, picture: tuple[int, int], cutout: tuple[int, int], image: ImageConfig) -> None:
    """Raise an ImageError for what encoding and painting set a row aside for, besides pictures that can't be read."""
    if not name.strip():
        raise ImageError("no name: the product has none")
    if picture != cutout:
        raise ImageError("another size: picture and cutout differ")
    if image.size_of(*picture) is None:
        raise ImageError("another shape: image.aspect_ratios has none that is the picture's")


def _spread(values: list[float | None]) -> dict[str, float] | None:
    """Minimum, quartiles, maximum; None where nothing could be measured."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    marks = np.percentile(present, [0, 25, 50, 75, 100]).tolist()
    return dict(zip(("min", "p25", "median", "p75", "max"), (round(mark, 4) for mark in marks), strict=True))
