"""Turn photos and a CSV into EPBD: every row of the CSV ends exactly once, in a split or in rejected/ with a reason.

The driver holds the CSV's text alone. Each task takes a slice of rows of one split, opens their photos one by one and
writes one shard; pictures never leave the task that made them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import Field

from p2i_ray.cluster import placement
from p2i_ray.cluster.resources import GIB, ResourceSpec, StepResources
from p2i_ray.config import ImageConfig, Settings
from p2i_ray.data import splits, writing
from p2i_ray.data.cutouts.grabcut import CutoutConfig
from p2i_ray.data.decoding import BYTES_PER_PIXEL
from p2i_ray.data.errors import ImageError
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA, SPLITS
from p2i_ray.data.sources.listing import PICTURES
from p2i_ray.data.sources.photos import read_photo
from p2i_ray.data.sources.samples import Files, make_sample
from p2i_ray.data.splits import SplitConfig
from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

TASK_GIB = 0.5  # memory of a task besides the largest picture that it may have to decode
MIN_SLICES = 16  # so that a small folder keeps several cores busy too


class IngestConfig(Settings):
    """Settings for making samples from photos."""

    split: SplitConfig = SplitConfig()
    cutout: CutoutConfig = CutoutConfig()
    lossless: bool = Field(False, description="store pictures as PNG: about five times the bytes of JPEG quality 95")
    rows_per_file: int = Field(128, ge=1, description="largest shard, rows")
    num_cpus: float = Field(
        0.9, gt=0, description="CPUs that a task reserves; its memory follows from image.max_pixels"
    )


class Ingested(NamedTuple):
    """The outcome of the CSV's rows."""

    rows: int
    splits: dict[str, int]  # split -> rows
    without_scene: int  # of those, cutouts without a scene
    rejected: dict[str, int]  # reason -> rows
    files: dict[str, list[str]]  # split or "rejected" -> files


@dataclass(frozen=True)
class Plan:
    """The inputs of an ingestion.

    Args:
        source: folder of photos, a path or URI; the CSV's paths are relative to it, and nothing outside it is read.
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


def ingest(rows: pa.Table, plan: Plan, progress: Progress | None = None) -> Ingested:
    """Turn a folder of photos and a CSV into EPBD. Ray must be connected.

    Args:
        rows: the CSV, as `listing.read` gives it.
        plan: where from, where to, and how.
        progress: called with the number of rows of each finished task.

    Raises:
        UserError: source isn't there, `out` holds data, or the settings of the splits don't fit the rows.
    """
    check(plan.source, plan.out)
    building = writing.building_folder(plan.out)
    try:
        done = _ingest(rows, plan, building, progress)
        writing.publish(building, plan.out, done.files)
    finally:
        locations.remove(building)
    return done


def check(source: str, out: str) -> None:
    """Raise a UserError unless the photos' folder is there and `out` is free."""
    if locations.kind(source) != "directory":
        raise UserError(f"source {source} is not a folder that is there; it holds the photos")
    writing.check_free(out)


def _ingest(rows: pa.Table, plan: Plan, building: str, progress: Progress | None) -> Ingested:
    import pyarrow.compute as pc

    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    without_scene = 0
    files: dict[str, list[str]] = {part: [] for part in (*SPLITS, REJECTED)}
    invalid = rows.filter(pc.is_valid(rows["reason"]))
    if invalid.num_rows:
        table = invalid.select(["id", "file", "reason"]).rename_columns(REJECTED_SCHEMA.names)
        files[REJECTED].append(writing.write_shard(table, locations.join(building, REJECTED), REJECTED_SCHEMA))
        reasons.update(_kind(reason) for reason in invalid["reason"].to_pylist())
        if progress:
            progress(invalid.num_rows)
    for shard in _write_shards(
        _slices(rows.filter(pc.is_null(rows["reason"])), plan.settings, plan.seed), plan, building
    ):
        files[shard["part"]].append(shard["file"])
        counts[shard["part"]] += shard["rows"]
        without_scene += shard["without_scene"]
        reasons.update(dict(zip(shard["kinds"], shard["kind_rows"], strict=True)))
        if progress:
            progress(shard["rows"])
    if len(files[REJECTED]) > 1:  # many small ones
        table = parquet.read_parquet(locations.join(building, REJECTED), files[REJECTED])
        files[REJECTED] = [writing.write_shard(table, locations.join(building, REJECTED), REJECTED_SCHEMA)]
    return Ingested(
        rows=rows.num_rows,
        splits={split: counts[split] for split in SPLITS},
        without_scene=without_scene,
        rejected=dict(reasons.most_common()),
        files={part: sorted(names) for part, names in files.items()},
    )


def resources(settings: IngestConfig, image: ImageConfig) -> StepResources:
    """A task's reservation: its memory holds the largest picture that the limits accept."""
    memory = TASK_GIB + image.max_pixels * BYTES_PER_PIXEL / GIB
    bundle = ResourceSpec(cpus=settings.num_cpus, memory_gib=memory)
    return StepResources("ingest", count=1, bundle=bundle, around=(), lower=("image.max_pixels", "ingest.num_cpus"))


def _write_shards(slices: list[pa.Table], plan: Plan, building: str) -> Iterator[dict[str, Any]]:
    """Ingest the slices on the workers; yields one small row for each file written, see `_report_schema`."""
    import ray.data

    if not slices:
        return
    need = resources(plan.settings, plan.image)
    placement.wait_for(need)
    written = ray.data.from_arrow(slices).map_batches(
        _ingest_slice,  # type: ignore[arg-type]  # Ray types a batch as any of its formats
        fn_kwargs={"plan": plan, "building": building},
        batch_format="pyarrow",
        batch_size=None,
        **need.bundle.options(),
    )
    for batch in written.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from cast("pa.Table", batch).to_pylist()


def _slices(rows: pa.Table, settings: IngestConfig, seed: int) -> list[pa.Table]:
    """The rows of each task: of one split, in an order that mixes categories."""
    import pyarrow.compute as pc

    if rows.num_rows == 0:
        return []
    ids = rows["id"].to_pylist()
    rows = rows.append_column("split", splits.assign(ids, rows["category"].to_pylist(), settings.split, seed))
    rows = rows.take(splits.shuffled(ids, seed))
    size = max(1, min(settings.rows_per_file, -(-rows.num_rows // MIN_SLICES)))
    parts = [rows.filter(pc.equal(rows["split"], split)) for split in SPLITS]
    return [part.slice(start, size).combine_chunks() for part in parts for start in range(0, part.num_rows, size)]


def _ingest_slice(batch: pa.Table, plan: Plan, building: str) -> pa.Table:
    import pyarrow as pa

    samples: dict[str, list[dict[str, Any]]] = {}  # by split
    rejected: list[dict[str, str]] = []
    drawn = batch["split"][0].as_py()
    for row in batch.to_pylist():
        try:
            made = make_sample(_read_files(row, plan), plan.settings.cutout, plan.image)
            sample = writing.sample(
                row["id"], row["name"], row["category"], **made._asdict(), lossless=plan.settings.lossless
            )
            samples.setdefault(splits.with_scene(drawn, made.picture is not None), []).append(sample)
        except ImageError as error:
            rejected.append({"id": row["id"], "source": row["file"], "reason": str(error)})
    report = []
    for split, rows in samples.items():
        name = writing.write_shard(rows, locations.join(building, split))
        alone = sum(row["image"] is None for row in rows)
        counted = {"rows": len(rows), "without_scene": alone, "kinds": [], "kind_rows": []}
        report.append({"part": split, "file": name, **counted})
    if rejected:
        name = writing.write_shard(rejected, locations.join(building, REJECTED), REJECTED_SCHEMA)
        kinds = Counter(_kind(row["reason"]) for row in rejected)
        counts = {"rows": len(rejected), "without_scene": 0, "kinds": list(kinds), "kind_rows": list(kinds.values())}
        report.append({"part": REJECTED, "file": name, **counts})
    return pa.Table.from_pylist(report, schema=_report_schema())


def _read_files(row: dict[str, Any], plan: Plan) -> Files:
    """The files that a row names."""
    photo = read_photo(plan.source, row["file"], plan.image.max_bytes)
    others: dict[str, bytes] = {}
    for kind in PICTURES:
        if row[kind]:
            try:
                others[kind] = read_photo(plan.source, row[kind], plan.image.max_bytes)
            except ImageError as error:
                raise ImageError(f"bad {kind}: {error}") from None
    return Files(photo, **others)


def _report_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = [("kinds", pa.list_(pa.string())), ("kind_rows", pa.list_(pa.int64()))]
    numbers = [("rows", pa.int64()), ("without_scene", pa.int64())]
    return pa.schema([("part", pa.string()), ("file", pa.string()), *numbers, *kinds])


def _kind(reason: str) -> str:
    """The kind of a reason: the part before its colon."""
    return reason.partition(": ")[0]
