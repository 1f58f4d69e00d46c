"""Photos and a CSV to EPBD: every row of the CSV ends exactly once, in a split or in rejected/ with a reason.

The driver plans with the CSV's text alone. A task takes a slice of rows of one split, opens their photos one after
another, and writes one shard; pictures never leave the task that made them.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from p2i_ray.config import ImageConfig, Settings
from p2i_ray.data import splits, writing
from p2i_ray.data.cutouts import framing
from p2i_ray.data.cutouts.grabcut import CutoutConfig, find_product
from p2i_ray.data.images import ImageError, Pixels, decode
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA, SPLITS
from p2i_ray.data.splits import SplitConfig
from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

TRANSPARENT = 0.05  # share of clear pixels that makes a cutout; less is a rounded corner or a stray pixel
SLICES_AT_LEAST = 16  # so that a small folder keeps several cores busy too


class IngestConfig(Settings):
    """How photos become samples."""

    split: SplitConfig = SplitConfig()
    cutout: CutoutConfig = CutoutConfig()
    lossless: bool = Field(False, description="store pictures as PNG: about five times the bytes of JPEG quality 95")
    rows_per_file: int = Field(128, ge=1, description="largest shard, rows")
    num_cpus: float = Field(0.9, gt=0, description="CPUs that a task reserves")


class Ingested(NamedTuple):
    """What became of the CSV's rows."""

    rows: int
    splits: dict[str, int]  # split -> rows
    rejected: dict[str, int]  # reason -> rows
    files: dict[str, list[str]]  # split or "rejected" -> files


def ingest(
    source: str,
    rows: pa.Table,
    out: str,
    settings: IngestConfig,
    image: ImageConfig,
    seed: int,
    progress: Progress | None = None,
) -> Ingested:
    """Turn a folder of photos and a CSV into EPBD. Ray must be connected.

    Args:
        source: folder of photos, a path or URI; the CSV's paths are relative to it, and nothing outside it is read.
        rows: the CSV, as `listing.read` gives it.
        out: EPBD folder to make; nothing in it is overwritten.
        settings: how photos become samples.
        image: limits, and the side of the pictures.
        seed: of the splits.
        progress: told the number of rows with each finished task.

    Raises:
        UserError: source isn't there, `out` holds data, or the settings of the splits don't fit the rows.
    """
    check(source, out)
    building = writing.building_folder(out)
    try:
        done = _work(rows, source, building, settings, image, seed, progress)
        writing.publish(building, out, done.files)
    finally:
        locations.remove(building)
    return done


def check(source: str, out: str) -> None:
    """Raise a UserError unless the photos' folder is there and `out` is free."""
    filesystem, path = locations.open_location(source)
    if not filesystem.isdir(path):
        raise UserError(f"source {source} is not a folder that is there; it holds the photos")
    writing.check_free(out)


def make_sample(encoded: bytes, settings: IngestConfig, image: ImageConfig) -> tuple[Pixels, Pixels]:
    """A photo to its square picture (side, side, 3) and product mask (side, side), both uint8.

    A photo with real transparency is cut by it; others by what looks like a product.

    Raises:
        ImageError: not an image within the limits, or no product in it.
    """
    decoded = decode(encoded, image, at_least=2 * image.resolution)
    photo = np.asarray(decoded.convert("RGB"))
    alpha = np.asarray(decoded.getchannel("A")) if decoded.mode == "RGBA" else None
    if alpha is not None and alpha.max() < 128:
        raise ImageError("no product found: the photo is transparent everywhere")
    if alpha is not None and (alpha < 128).mean() >= TRANSPARENT:
        photo, mask = _over_white(photo, alpha), alpha
    else:
        mask = find_product(photo, settings.cutout)
    picture, mask = framing.to_square(photo, mask, image.resolution)
    share = float((mask >= 128).mean())
    if not settings.cutout.min_share <= share <= settings.cutout.max_share:
        limits = f"{settings.cutout.min_share:.0%} to {settings.cutout.max_share:.0%}"
        raise ImageError(f"no product found: the cutout covers {share:.1%} of the picture, outside {limits}")
    return picture, mask


def _over_white(photo: Pixels, alpha: Pixels) -> Pixels:
    """The photo as stored where colour lies hidden below the transparency (a photo with its mask), else on white."""
    hidden = photo[alpha < 128]
    if hidden.std(axis=0).max() > 8:
        return photo
    weight = alpha[..., None].astype(np.float32) / 255
    return (photo * weight + 255 * (1 - weight)).round().astype(np.uint8)


def _work(
    rows: pa.Table,
    source: str,
    building: str,
    settings: IngestConfig,
    image: ImageConfig,
    seed: int,
    progress: Progress | None,
) -> Ingested:
    import pyarrow.compute as pc
    import ray.data

    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    files: dict[str, list[str]] = {part: [] for part in (*SPLITS, REJECTED)}
    bad = rows.filter(pc.is_valid(rows["reason"]))
    if bad.num_rows:
        table = bad.select(["id", "file", "reason"]).rename_columns(REJECTED_SCHEMA.names)
        files[REJECTED].append(writing.write_shard(table, locations.join(building, REJECTED), REJECTED_SCHEMA))
        reasons.update(_kind(reason) for reason in bad["reason"].to_pylist())
        if progress:
            progress(bad.num_rows)
    slices = _slices(rows.filter(pc.is_null(rows["reason"])), settings, seed)
    if slices:
        work = {"source": source, "building": building, "settings": settings, "image": image}
        written = ray.data.from_arrow(slices).map_batches(
            _ingest_slice, fn_kwargs=work, batch_format="pyarrow", batch_size=None, num_cpus=settings.num_cpus
        )
        for part in written.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in part.to_pylist():  # one row a file, not a photo
                files[row["part"]].append(row["file"])
                counts[row["part"]] += row["rows"]
                reasons.update(dict(zip(row["kinds"], row["kind_rows"], strict=True)))
                if progress:
                    progress(row["rows"])
    if len(files[REJECTED]) > 1:  # many small ones
        table = parquet.read_parquet(locations.join(building, REJECTED), files[REJECTED])
        files[REJECTED] = [writing.write_shard(table, locations.join(building, REJECTED), REJECTED_SCHEMA)]
    total = {split: counts[split] for split in SPLITS}
    files = {part: sorted(names) for part, names in files.items()}
    return Ingested(rows.num_rows, total, dict(reasons.most_common()), files)


def _slices(rows: pa.Table, settings: IngestConfig, seed: int) -> list[pa.Table]:
    """The rows of a task each: of one split, in an order that mixes categories."""
    import pyarrow.compute as pc

    if rows.num_rows == 0:
        return []
    ids = rows["id"].to_pylist()
    rows = rows.append_column("split", splits.assign(ids, rows["category"].to_pylist(), settings.split, seed))
    rows = rows.take(splits.shuffled(ids, seed))
    size = max(1, min(settings.rows_per_file, -(-rows.num_rows // SLICES_AT_LEAST)))
    parts = [rows.filter(pc.equal(rows["split"], split)) for split in SPLITS]
    return [part.slice(start, size).combine_chunks() for part in parts for start in range(0, part.num_rows, size)]


def _ingest_slice(batch: pa.Table, source: str, building: str, settings: IngestConfig, image: ImageConfig) -> pa.Table:
    import pyarrow as pa

    samples: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    split = batch["split"][0].as_py()
    for row in batch.to_pylist():
        try:
            picture, mask = make_sample(read_photo(source, row["file"], image.max_bytes), settings, image)
            samples.append(writing.sample(row["id"], row["name"], row["category"], picture, mask, settings.lossless))
        except ImageError as error:
            rejected.append({"id": row["id"], "source": row["file"], "reason": str(error)})
    report = []
    if samples:
        name = writing.write_shard(samples, locations.join(building, split))
        report.append({"part": split, "file": name, "rows": len(samples), "kinds": [], "kind_rows": []})
    if rejected:
        name = writing.write_shard(rejected, locations.join(building, REJECTED), REJECTED_SCHEMA)
        kinds = Counter(_kind(row["reason"]) for row in rejected)
        counts = {"rows": len(rejected), "kinds": list(kinds), "kind_rows": list(kinds.values())}
        report.append({"part": REJECTED, "file": name, **counts})
    return pa.Table.from_pylist(report, schema=_report_schema())


def _report_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = [("kinds", pa.list_(pa.string())), ("kind_rows", pa.list_(pa.int64()))]
    return pa.schema([("part", pa.string()), ("file", pa.string()), ("rows", pa.int64()), *kinds])


def read_photo(source: str, file: str, max_bytes: int) -> bytes:
    """The content of an ordinary file within the source folder, at most one byte more than allowed.

    Raises:
        ImageError: no such file, not an ordinary one, outside the folder (a link that leads out too), or not readable.
    """
    filesystem, root = locations.open_location(source)
    on_disk = isinstance(filesystem, LocalFileSystem)
    try:
        if on_disk:
            return _read_within(Path(root).resolve(), file, max_bytes)
        with filesystem.open(f"{root.rstrip('/')}/{file}", "rb") as opened:
            return bytes(opened.read(max_bytes + 1))
    except FileNotFoundError:
        raise ImageError("file missing: it is not in source") from None
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(f"unreadable: {error.strerror or error}") from None
    except OSError as error:
        if not on_disk:
            raise  # a bucket that doesn't answer says nothing about the photo: stop, don't set aside
        raise ImageError(f"unreadable: {error.strerror or error}") from None


def _read_within(root: Path, file: str, max_bytes: int) -> bytes:
    try:
        path = (root / file).resolve()
    except RuntimeError:  # links in a circle
        raise ImageError("unreadable: its link leads nowhere") from None
    if not path.is_relative_to(root):
        raise ImageError("outside the folder: a link leads out of source")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for a writer
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ImageError("unreadable: not an ordinary file")
        return opened.read(max_bytes + 1)


def _kind(reason: str) -> str:
    """What a reason is about: the part before its colon."""
    return reason.partition(": ")[0]
