"""Turn a source's rows into EPBD: every row ends exactly once, in a split or in rejected/ with a reason.

The driver holds the rows' text and a fingerprint each. Each task takes a slice of rows, opens their photos one by one
and writes one shard; when all are made, products get their splits, and tasks copy the samples there. Pictures never
leave the tasks.

Where the folder holds an earlier ingestion of the source, the rows that are new are added, and shards that are there
stay as they are. What was set aside is tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from p2i_ray.cluster.resources import GIB, StepResources, of
from p2i_ray.config import ImageConfig
from p2i_ray.data import publishing, rejected, splits
from p2i_ray.data.cutouts.settings import CutterConfig
from p2i_ray.data.decoding import BYTES_PER_PIXEL
from p2i_ray.data.schema import EXAMPLES, REJECTED, REJECTED_SCHEMA, SPLITS
from p2i_ray.data.sources import additions, examples, homes, ledger, pictures, rejections, tasks
from p2i_ray.data.sources.rejections import JudgeSamples
from p2i_ray.data.sources.slices import run, run_all
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

TASK_GIB = 0.5  # memory of a task besides the largest picture that it may have to decode
DETECTOR_GIB = 0.75  # memory of a task's detector of text or people; RapidOCR's took 0.5
MIN_SLICES = 16  # so that a small folder keeps several cores busy too


class Ingested(NamedTuple):
    """The outcome of the source's rows, with those of earlier ingestions into the folder."""

    rows: int  # of the source
    splits: dict[str, int]  # split -> rows
    without_scene: int  # of those, cutouts without a scene
    products: int  # groups of rows that show the same
    rejected: dict[str, int]  # reason -> rows
    files: dict[str, list[str]]  # part of the folder -> new files
    there: int = 0  # rows of the source that were in a split before
    changed: int = 0  # of those, rows that have another file, group, name or category now
    gone: int = 0  # rows of earlier ingestions that the source no longer has, in splits and in rejected/


def ingest(
    rows: pa.Table, plan: Plan, progress: Progress | None = None, judging: JudgeSamples | None = None
) -> Ingested:
    """Turn a source's rows into EPBD, or add those that are new. Ray must be connected, and nobody else work in `out`.

    Args:
        rows: as `rows.to_table` gives them.
        plan: where from, where to, and how.
        progress: called with the number of rows of each finished task, and of those that are there.
        judging: sets samples aside before products get their splits (none: all are kept).

    Raises:
        UserError: `out` holds other data, or the settings of the splits don't fit the rows.
    """
    publishing.finish(plan.out)
    check(rows, plan)
    publishing.remove_unfinished(plan.out)
    building = publishing.building_folder(plan.out)
    earlier = [
        f"{part}/{name}"
        for part in (REJECTED, EXAMPLES)
        for name in locations.names(locations.join(plan.out, part), ".parquet")
    ]
    try:
        done = _ingest(rows, ledger.read(plan.out), plan, building=building, progress=progress, judging=judging)
        publishing.publish(building, plan.out, done.files, earlier)
    finally:
        if not locations.exists(locations.join(plan.out, publishing.JOURNAL)):  # else the next call goes on
            locations.remove(building)
    return done


def check(rows: pa.Table, plan: Plan) -> None:
    """Raise a UserError unless `out` is free or rows can be added to it, and the splits' settings fit the rows."""
    check_out(plan.out)
    if ledger.is_there(plan.out):
        ledger.check(plan)
    splits.check(plan.settings.split, _usable(rows)["category"].to_pylist())


def check_out(out: str) -> None:
    """Raise a UserError unless a folder is free, or holds an earlier ingestion, finished or nearly."""
    if not ledger.is_there(out) and not locations.exists(locations.join(out, publishing.JOURNAL)):
        publishing.check_free(out)


def resources(settings: IngestConfig, image: ImageConfig) -> StepResources:
    """A task's reservation: its memory holds the largest picture that the limits accept, and the cutter's network."""
    network = settings.cutter.memory_gib if settings.cutter.model else 0
    detectors = DETECTOR_GIB * settings.cleaning.detectors
    memory = TASK_GIB + image.max_pixels * BYTES_PER_PIXEL / GIB + network + detectors
    bundle = of(settings.cutter, settings.num_cpus, settings.cutter.num_gpus)
    lower = ["image.max_pixels", "ingest.num_cpus"]
    lower += ["ingest.cutter.memory_gib", "ingest.cutter.num_gpus"] if settings.cutter.model else []
    return StepResources("ingest", count=1, bundle=replace(bundle, memory_gib=memory), around=(), lower=tuple(lower))


def count_new(rows: pa.Table, out: str) -> int:
    """How many of a source's rows can be used and are not in the folder yet."""
    new, *_ = additions.divide(_usable(rows), ledger.read(out))
    return len(new)


def _ingest(
    rows: pa.Table,
    before: pa.Table,
    plan: Plan,
    *,
    building: str,
    progress: Progress | None = None,
    judging: JudgeSamples | None = None,
) -> Ingested:
    import pyarrow as pa
    import pyarrow.compute as pc

    usable, there, again = additions.divide(_usable(rows), before)
    usable = usable.take(pa.array(_order(usable, plan.seed), pa.int64()))
    usable = usable.append_column("row", pa.array(range(usable.num_rows), pa.int64()))
    aside = [tasks.set_aside(row, row["reason"]) for row in rows.filter(pc.is_valid(rows["reason"])).to_pylist()]
    aside += [tasks.set_aside(row, "duplicate file: an earlier row has it") for row in again.to_pylist()]
    if progress and (known := there.num_rows + len(aside)):
        progress(known)
    report = _make(usable, plan, building, progress)
    made = report.filter(pc.is_null(report["reason"]))
    rejects = rejections.of_tasks(report, building)

    shown = usable.take(made["row"])
    for column in ("fingerprint", "scene"):
        shown = shown.append_column(column, made[column])
    later: list[dict[str, Any]] = []
    if disliked := rejections.judged(made, building, judging):
        aside_now = pa.array([id in disliked for id in shown["id"].to_pylist()], pa.bool_())
        later += [tasks.set_aside(row, disliked[row["id"]]) for row in shown.filter(aside_now).to_pylist()]
        shown, made = (table.filter(pc.invert(aside_now)) for table in (shown, made))
    changed = additions.changed(there, before)
    found = homes.find(shown, before, changed, settings=plan.settings, seed=plan.seed)
    later += [
        tasks.set_aside(row, home.reason) for row, home in zip(shown.to_pylist(), found, strict=True) if home.reason
    ]
    kept = pa.array([place for place, home in enumerate(found) if home.reason is None], pa.int64())
    lines = shown.append_column("product", pa.array([home.product for home in found], pa.string()))
    lines = lines.append_column("split", pa.array([home.split for home in found], pa.string())).take(kept)
    made = made.select(["file", "place"]).take(kept)
    made = made.append_column("group", lines["product"]).append_column("split", lines["split"])
    files: dict[str, list[str]] = {part: [] for part in (*SPLITS, REJECTED, EXAMPLES)}
    copying = resources(plan.settings.model_copy(update={"cutter": CutterConfig()}), plan.image)
    for written in run(_shards(made, plan.settings), tasks.copy_samples, copying, building=building):
        for line in written.to_pylist():
            files[line["split"]].append(line["file"])
    lines = additions.as_lines(lines)
    files[ledger.FOLDER] = ledger.write(lines, plan, building)
    old = additions.rejected_elsewhere(rows, plan.out)
    rejects = pa.concat_tables([rejects, pa.Table.from_pylist(later, schema=REJECTED_SCHEMA)])
    shown_rows = _show(examples.choose(usable, rejects.to_pylist()), plan, copying)
    files[EXAMPLES] = examples.write([*shown_rows, examples.kept(plan.out, old)], building)
    rejects = pa.concat_tables([pa.Table.from_pylist([*old, *aside], schema=REJECTED_SCHEMA), rejects])
    reasons = Counter(map(rejected.kind, rejects["reason"].to_pylist()))
    files[REJECTED] = rejections.write(rejects, locations.join(building, REJECTED))
    everything = pa.concat_tables([before, lines])
    counts = Counter(everything["split"].to_pylist())
    return Ingested(
        rows=rows.num_rows,
        splits={split: counts[split] for split in SPLITS},
        without_scene=everything.num_rows - (pc.sum(everything["scene"]).as_py() or 0),
        products=len(set(everything["product"].to_pylist())),
        rejected=dict(reasons.most_common()),
        files={part: sorted(names) for part, names in files.items()},
        there=there.num_rows,
        changed=changed.num_rows,
        gone=additions.gone(rows, before) + len(old),
    )


def _make(rows: pa.Table, plan: Plan, building: str, progress: Progress | None) -> pa.Table:
    """Make samples of rows on the workers; a line for each, in order, see `tasks.report_schema`."""
    import pyarrow as pa

    need = resources(plan.settings, plan.image)
    reports = [tasks.report_schema().empty_table()]
    has_network = plan.settings.cutter.model or plan.settings.cleaning.detectors
    maker = tasks.SampleMaker if has_network else tasks.make_samples

    def make(slices: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        return run(slices, maker, need, alone=alone, plan=plan, building=building)

    for report in run_all(_slices(rows, plan.settings), make, lambda row: tasks.killer(row.to_pylist()[0], building)):
        reports.append(report)
        if progress:
            progress(report.num_rows)
    return pa.concat_tables(reports).sort_by("row")


def _show(rows: pa.Table, plan: Plan, need: StepResources) -> Iterator[pa.Table]:
    """Make small pictures of rows that were set aside, see examples.make; one that ends its process has none."""

    def make(slices: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        return run(slices, examples.make, need, alone=alone, plan=plan)

    return run_all(examples.slices(rows), make, examples.without_picture)


def _order(rows: pa.Table, seed: int) -> list[int]:
    """Row numbers in an order that mixes categories and depends on the seed alone; archives are read one by one."""
    ids, files, cutouts = (rows[column].to_pylist() for column in ("id", "file", "cutout"))
    chunks = [pictures.chunk(file or cutout) for file, cutout in zip(files, cutouts, strict=True)]
    return splits.shuffled(ids, seed, chunks)


def _usable(rows: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.is_null(rows["reason"]))


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
