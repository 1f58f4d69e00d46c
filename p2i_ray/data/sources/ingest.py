"""Turn a source's rows into EPBD: every row ends exactly once, in a split or in rejected/ with a reason.

The driver holds the rows' text and a fingerprint each. Each task takes a slice of rows, opens their photos one by one
and writes one shard; when all are made, products get their splits, and tasks copy the samples there. Pictures never
leave the tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from p2i_ray.cluster import placement
from p2i_ray.cluster.resources import GIB, StepResources, of
from p2i_ray.config import ImageConfig
from p2i_ray.data import groups, rejected, splits, writing
from p2i_ray.data.cleaning import duplicates
from p2i_ray.data.cutouts.settings import CutterConfig
from p2i_ray.data.decoding import BYTES_PER_PIXEL
from p2i_ray.data.schema import REJECTED, REJECTED_SCHEMA, SPLITS
from p2i_ray.data.sources import pictures, tasks
from p2i_ray.data.sources.advice import advice
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.storage import locations, parquet
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

TASK_GIB = 0.5  # memory of a task besides the largest picture that it may have to decode
DETECTOR_GIB = 0.75  # memory of a task's detector of text or people; RapidOCR's took 0.5
MIN_SLICES = 16  # so that a small folder keeps several cores busy too


class Ingested(NamedTuple):
    """The outcome of the source's rows."""

    rows: int
    splits: dict[str, int]  # split -> rows
    without_scene: int  # of those, cutouts without a scene
    products: int  # groups of rows that show the same
    rejected: dict[str, int]  # reason -> rows
    files: dict[str, list[str]]  # split or "rejected" -> files


def ingest(rows: pa.Table, plan: Plan, progress: Progress | None = None) -> Ingested:
    """Turn a source's rows into EPBD. Ray must be connected.

    Args:
        rows: as `rows.to_table` gives them.
        plan: where from, where to, and how.
        progress: called with the number of rows of each finished task.

    Raises:
        UserError: `out` holds data, or the settings of the splits don't fit the rows.
    """
    check(rows, plan)
    building = writing.building_folder(plan.out)
    try:
        done = _ingest(rows, plan, building, progress)
        writing.publish(building, plan.out, done.files)
    finally:
        locations.remove(building)
    return done


def check(rows: pa.Table, plan: Plan) -> None:
    """Raise a UserError unless `out` is free and the splits' settings fit the rows."""
    writing.check_free(plan.out)
    splits.check(plan.settings.split, _usable(rows)["category"].to_pylist())


def resources(settings: IngestConfig, image: ImageConfig) -> StepResources:
    """A task's reservation: its memory holds the largest picture that the limits accept, and the cutter's network."""
    network = settings.cutter.memory_gib if settings.cutter.model else 0
    detectors = DETECTOR_GIB * settings.cleaning.detectors
    memory = TASK_GIB + image.max_pixels * BYTES_PER_PIXEL / GIB + network + detectors
    bundle = of(settings.cutter, settings.num_cpus, settings.cutter.num_gpus)
    lower = ["image.max_pixels", "ingest.num_cpus"]
    lower += ["ingest.cutter.memory_gib", "ingest.cutter.num_gpus"] if settings.cutter.model else []
    return StepResources("ingest", count=1, bundle=replace(bundle, memory_gib=memory), around=(), lower=tuple(lower))


def _ingest(rows: pa.Table, plan: Plan, building: str, progress: Progress | None) -> Ingested:
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = _usable(rows)
    usable = usable.take(_order(usable, plan.seed))
    usable = usable.append_column("row", pa.array(range(usable.num_rows), pa.int64()))
    invalid = rows.filter(pc.is_valid(rows["reason"])).to_pylist()
    aside = [tasks.set_aside(row, row["reason"]) for row in invalid]
    if progress and invalid:
        progress(len(invalid))
    need = resources(plan.settings, plan.image)
    reports = [tasks.report_schema().empty_table()]
    has_network = plan.settings.cutter.model or plan.settings.cleaning.detectors
    maker = tasks.SampleMaker if has_network else tasks.make_samples
    for report in _run(_slices(usable, plan.settings), maker, need, plan=plan, building=building):
        reports.append(report)
        if progress:
            progress(report.num_rows)
    report = pa.concat_tables(reports).sort_by("row")
    made = report.filter(pc.is_null(report["reason"]))
    rejects = set(report.filter(pc.is_valid(report["reason"]))["file"].to_pylist())
    reasons = tasks.reasons(report)

    shown = usable.take(made["row"]).append_column("fingerprint", made["fingerprint"])
    if plan.settings.cleaning.near_duplicates:
        doubles = duplicates.superfluous(shown["id"].to_pylist(), shown["fingerprint"].to_pylist())
        for place, first in doubles.items():
            (row,) = shown.slice(place, 1).to_pylist()
            aside.append(tasks.set_aside(row, f"near-duplicate: its picture looks like that of {first}"))
        single = [place for place in range(shown.num_rows) if place not in doubles]
        shown, made = shown.take(single), made.take(single)

    products = groups.find(shown, plan.settings.groups)
    scenes = made["scene"].to_pylist()
    assigned = splits.assign(
        products, shown["category"].to_pylist(), scenes, settings=plan.settings.split, seed=plan.seed
    )
    kept = [place for place, row in enumerate(assigned) if row.reason is None]
    for row, (_, reason) in zip(shown.to_pylist(), assigned, strict=True):
        if reason:
            aside.append(tasks.set_aside(row, reason))
    reasons.update(line["reason"].partition(": ")[0] for line in aside)
    made = made.select(["file", "place"]).append_column("group", pa.array(products, pa.string()))
    made = made.append_column("split", pa.array([row.split for row in assigned], pa.string())).take(kept)
    files: dict[str, list[str]] = {part: [] for part in (*SPLITS, REJECTED)}
    copying = resources(plan.settings.model_copy(update={"cutter": CutterConfig()}), plan.image)
    for written in _run(_shards(made, plan.settings), tasks.copy_samples, copying, building=building):
        for line in written.to_pylist():
            files[line["split"]].append(line["file"])
    files[REJECTED] = _write_rejected(aside, sorted(rejects), locations.join(building, REJECTED))
    counts = Counter(made["split"].to_pylist())
    return Ingested(
        rows=rows.num_rows,
        splits={split: counts[split] for split in SPLITS},
        without_scene=sum(not scenes[place] for place in kept),
        products=len({products[place] for place in kept}),
        rejected=dict(reasons.most_common()),
        files={part: sorted(names) for part, names in files.items()},
    )


def _order(rows: pa.Table, seed: int) -> list[int]:
    """Row numbers in an order that mixes categories and depends on the seed alone; archives are read one by one."""
    ids, files, cutouts = (rows[column].to_pylist() for column in ("id", "file", "cutout"))
    chunks = [pictures.chunk(file or cutout) for file, cutout in zip(files, cutouts, strict=True)]
    return splits.shuffled(ids, seed, chunks)


def _usable(rows: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.is_null(rows["reason"]))


def _run(
    slices: list[pa.Table],
    function: Callable[..., pa.Table] | type[tasks.SampleMaker],
    need: StepResources,
    **arguments: Any,
) -> Iterator[pa.Table]:
    """Call a function, or actors, on the workers, once for each slice; yields what is returned as it is done."""
    import ray.data

    if not slices:
        return
    # Each actor loads the network once; there are as many as the cluster has room for, but no more than slices.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=len(slices)) if isinstance(function, type) else None
    placement.wait_for(need)
    results = ray.data.from_arrow(slices).map_batches(
        function,
        fn_kwargs=arguments,
        compute=pool,
        batch_format="pyarrow",
        batch_size=None,
        **need.bundle.options(),
    )
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield cast("pa.Table", batch)


def _slices(rows: pa.Table, settings: IngestConfig) -> list[pa.Table]:
    """The rows of each task."""
    size = max(1, min(settings.rows_per_file, -(-rows.num_rows // MIN_SLICES)))
    return [rows.slice(start, size).combine_chunks() for start in range(0, rows.num_rows, size)]


def _shards(made: pa.Table, settings: IngestConfig) -> list[pa.Table]:
    """The samples of each final shard, in an order that mixes categories."""
    import pyarrow.compute as pc

    parts = [made.filter(pc.equal(made["split"], split)) for split in SPLITS]
    size = settings.rows_per_file
    return [part.slice(start, size).combine_chunks() for part in parts for start in range(0, part.num_rows, size)]


def _write_rejected(rows: Sequence[dict[str, Any]], files: Sequence[str], folder: str) -> list[str]:
    """Write rows that are set aside, and those of the tasks' files, as one file, and as a list for spreadsheets."""
    import pyarrow as pa

    tables = [pa.Table.from_pylist(list(rows), schema=REJECTED_SCHEMA)]
    tables += [parquet.read_parquet(folder, list(files))] if files else []
    table = pa.concat_tables(tables)
    if not table.num_rows:
        return []
    listed = table.append_column("what to do", pa.array(map(advice, table["reason"].to_pylist()), pa.string()))
    locations.write_bytes(locations.join(folder, rejected.NAME), rejected.to_csv(listed))
    return [writing.write_shard(table, folder, REJECTED_SCHEMA), rejected.NAME]
