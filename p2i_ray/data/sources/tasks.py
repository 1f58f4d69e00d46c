"""A worker's part of an ingestion: make samples of a slice of rows, and copy finished samples into their split.

Without Ray: both take and give Arrow tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import Field

from p2i_ray.config import ImageConfig, Runtime, Settings
from p2i_ray.data import writing
from p2i_ray.data.cleaning import loading as cleaning
from p2i_ray.data.cleaning.rules import Rules
from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.cutouts import loading
from p2i_ray.data.cutouts.settings import CutoutConfig, CutterConfig
from p2i_ray.data.errors import ImageError
from p2i_ray.data.groups import GroupConfig
from p2i_ray.data.near_duplicates import fingerprint
from p2i_ray.data.rejected import kind
from p2i_ray.data.schema import INGESTED, MADE, REJECTED, REJECTED_SCHEMA
from p2i_ray.data.sources import samples as making
from p2i_ray.data.sources.pictures import PictureReader, position
from p2i_ray.data.sources.samples import Files
from p2i_ray.data.splits import SplitConfig
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa

KILLER = "ends its reader"  # kind of reason
SAMPLES = "samples"  # folder of what is made and in no split yet


class IngestConfig(Settings):
    """Settings for making samples from photos."""

    category: str = Field("", description="category of rows that have none; empty: such rows are set aside")
    groups: GroupConfig = GroupConfig()
    split: SplitConfig = SplitConfig()
    cutout: CutoutConfig = CutoutConfig()
    cutter: CutterConfig = CutterConfig()
    cleaning: CleaningConfig = CleaningConfig()
    lossless: bool = Field(False, description="store pictures as PNG: about five times the bytes of JPEG quality 95")
    rows_per_file: Runtime[int] = Field(128, ge=1, description="largest shard, rows")
    num_cpus: Runtime[float] = Field(
        0.9,
        gt=0,
        description="CPUs that a task reserves; its memory follows from image.max_pixels and ingest.cutter.memory_gib",
    )


@dataclass(frozen=True)
class Plan:
    """The inputs of an ingestion.

    Args:
        source: folder of photos, a path or URI; the rows' paths are relative to it, and nothing outside it is read.
        out: EPBD folder to make; nothing in it is overwritten.
        settings: how photos become samples.
        image: limits, and the side of the pictures.
        seed: of the splits.
    """

    source: str
    out: str
    settings: IngestConfig
    image: ImageConfig
    seed: int


def make_samples(batch: pa.Table, plan: Plan, building: str) -> pa.Table:
    """Write samples into shards, rows that are set aside into others; returns a line for each row, `report_schema`."""
    import cv2
    import pyarrow as pa

    cv2.setNumThreads(1)  # as many tasks as cores run at once
    size = plan.settings.rows_per_file
    starts = range(0, batch.num_rows, size)
    made = [_make_shard(batch.slice(start, size), plan, building) for start in starts]
    return pa.concat_tables([report_schema().empty_table(), *made])


def _make_shard(batch: pa.Table, plan: Plan, building: str) -> pa.Table:
    import pyarrow as pa

    samples: dict[int, dict[str, Any]] = {}  # by the row's number
    rejected: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for row, made in _made(batch.to_pylist(), plan):
        line: dict[str, Any] = {"row": row["row"]}
        if isinstance(made, ImageError):
            rejected.append(set_aside(row, str(made)))
            line["reason"] = kind(str(made))
        else:
            samples[row["row"]] = _sample(row, made, lossless=plan.settings.lossless)
            line["scene"] = made.picture is not None
            if plan.settings.groups.near_duplicates or plan.settings.cleaning.near_duplicates:
                line["fingerprint"] = fingerprint(made.cutout if made.picture is None else made.picture)
        lines.append(line)
    order = sorted(samples)  # that of the rows, in which categories are mixed
    shard = aside = None
    if samples:
        shard = writing.write_shard([samples[row] for row in order], locations.join(building, SAMPLES), MADE)
    if rejected:
        aside = writing.write_shard(rejected, locations.join(building, REJECTED), REJECTED_SCHEMA)
    places = {row: place for place, row in enumerate(order)}
    for line in lines:
        line |= {"file": aside if "reason" in line else shard, "place": places.get(line["row"])}
    return pa.Table.from_pylist(lines, schema=report_schema())


def killer(row: dict[str, Any], building: str) -> pa.Table:
    """Set a row aside that ended the process which made its sample; returns its line, as `make_samples` does."""
    import pyarrow as pa

    reason = f"{KILLER}: its files ended the process that read them; a decoder's fault, or too little memory"
    aside = writing.write_shard([set_aside(row, reason)], locations.join(building, REJECTED), REJECTED_SCHEMA)
    line = {"row": row["row"], "reason": kind(reason), "file": aside}
    return pa.Table.from_pylist([line], schema=report_schema())


class SampleMaker:
    """`make_samples` in an actor, which keeps the cutter's network between the slices."""

    def __call__(self, batch: pa.Table, plan: Plan, building: str) -> pa.Table:
        """See `make_samples`."""
        return make_samples(batch, plan, building)


_loaded_cutter = lru_cache(maxsize=1)(loading.load)  # in this process
_loaded_rules = lru_cache(maxsize=1)(cleaning.load)


def _made(rows: list[dict[str, Any]], plan: Plan) -> Iterator[tuple[dict[str, Any], making.Sample | ImageError]]:
    """Each row with its sample, or with why there is none; the cutter gets a batch of photos at once."""
    settings, rules = plan.settings, _loaded_rules(plan.settings.cleaning)
    cutting = _loaded_cutter(settings.cutter, settings.cutout)
    at_once = settings.cutter.batch_size if settings.cutter.model else 1
    waiting = iter(sorted(rows, key=lambda row: position(row["file"] or row["cutout"])))
    with PictureReader(plan.source, plan.image.max_bytes) as reader:
        while some := list(islice(waiting, at_once)):
            files = [_checked(rules, _read_files(row, reader), plan.image) for row in some]
            made = making.make_samples(files, cutting, settings=settings.cutout, image=plan.image)
            yield from zip(some, [_cleaned(rules, one) for one in made], strict=True)


def _checked(rules: Rules, files: Files | ImageError, image: ImageConfig) -> Files | ImageError:
    """The files, or why a rule sets them aside."""
    try:
        if isinstance(files, Files):
            rules.check_photo(files.photo, image)
        return files
    except ImageError as error:
        return error


def _cleaned(rules: Rules, made: making.Sample | ImageError) -> making.Sample | ImageError:
    """The sample, or why a rule sets it aside."""
    try:
        if isinstance(made, making.Sample) and made.picture is not None:
            rules.check_scene(made.picture, made.cutout[..., 3])
        return made
    except ImageError as error:
        return error


def _sample(row: dict[str, Any], made: making.Sample, *, lossless: bool) -> dict[str, Any]:
    return writing.sample(
        row["id"],
        row["name"],
        row["category"],
        cutout=made.cutout,
        picture=made.picture,
        lossless=lossless,
        quality=made.quality._asdict(),
    )


def copy_samples(batch: pa.Table, building: str) -> pa.Table:
    """Copy samples into a shard of their split.

    Args:
        batch: columns split (one for all), file, place and group, in the order in which they are written.
        building: folder with the samples.

    Returns:
        One line: split, file and rows.
    """
    import pyarrow as pa

    parts = []
    groups = batch["group"].to_pylist()
    lines = batch.select(["file", "place"]).to_pylist()
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and lines[end]["file"] == lines[start]["file"]:
            end += 1
        place = locations.join(building, SAMPLES, lines[start]["file"])
        found = writing.read_rows(place, [line["place"] for line in lines[start:end]])
        parts.append(found.append_column("group", pa.array(groups[start:end], pa.string())))
        start = end
    split = batch["split"][0].as_py()
    table = pa.concat_tables(parts).select(INGESTED.names).cast(INGESTED)
    name = writing.write_shard(table, locations.join(building, split), INGESTED)
    return pa.table({"split": [split], "file": [name], "rows": [table.num_rows]})


def set_aside(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """A row of rejected/."""
    return {"id": row["id"], "source": row["file"] or row["cutout"] or row["origin"] or "", "reason": reason}


def report_schema() -> pa.Schema:
    """A line for each row: its number, the shard that has it and the place there; the kind of the reason, or none."""
    import pyarrow as pa

    numbers = [("row", pa.int64()), ("file", pa.string()), ("place", pa.int32()), ("scene", pa.bool_())]
    return pa.schema([*numbers, ("fingerprint", pa.binary()), ("reason", pa.string())])


def _read_files(row: dict[str, Any], reader: PictureReader) -> Files | ImageError:
    """The files that a row names, or why they can't be read. A cutout without a photo is a photo with clear pixels."""
    others: dict[str, bytes] = {}
    try:
        photo = reader.read(row["file"]) if row["file"] else b""
        for kind in ("mask", "cutout"):
            if row[kind]:
                try:
                    others[kind] = reader.read(row[kind])
                except ImageError as error:
                    return ImageError(f"bad {kind}: {error}")
    except ImageError as error:
        return error
    others = {kind: content for kind, content in others.items() if content}  # cells of a table may be empty
    return Files(photo or others.pop("cutout", b""), **others)
