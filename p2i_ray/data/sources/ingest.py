"""Turn a source's rows into EPBD: every row ends exactly once, in a split or in rejected/ with a reason.

The driver has the rows' text and a fingerprint each in columns that are mapped from temporary files (storage.spilled),
so that its memory hardly grows with the rows; what it does with them is in `bookkeeping`. Each task takes a slice of
rows, opens their photos one by one and writes one shard; when all are made, products get their splits, and tasks copy
the samples there. Pictures never leave the tasks.

Where the folder holds an earlier ingestion of the source, the rows that are new are added, and shards that are there
stay as they are. What was set aside is tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from p2i_ray.cluster import placement
from p2i_ray.cluster.resources import GIB, StepResources, of
from p2i_ray.config import ImageConfig
from p2i_ray.data import mapped_rows, numbers, publishing, rejected, splits, text_columns
from p2i_ray.data.cutouts.settings import CutterConfig
from p2i_ray.data.decoding import BYTES_PER_PIXEL
from p2i_ray.data.schema import EXAMPLES, REJECTED, SPLITS
from p2i_ray.data.sources import additions, bookkeeping, examples, ledger, rejections, reports, tasks
from p2i_ray.data.sources.rejections import JudgeSamples
from p2i_ray.data.sources.slices import run, run_all
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.storage import folders, locations
from p2i_ray.storage.parquet import Progress

if TYPE_CHECKING:
    import pyarrow as pa

TASK_GIB = 0.5  # memory of a task besides the largest picture that it may have to decode
DETECTOR_GIB = 0.75  # memory of a task's detector of text or people; RapidOCR's took 0.5


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
        for name in folders.names(locations.join(plan.out, part), ".parquet")
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
    import pyarrow.compute as pc

    check_out(plan.out)
    if ledger.is_there(plan.out):
        ledger.check(plan)
        additions.check_ids(rows, plan.out)
    usable = mapped_rows.where(rows.select(["category"]), pc.is_null(rows["reason"]))["category"]
    splits.check(plan.settings.split, text_columns.counts(usable))


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
    """Number of a source's rows that can be used and are not in the folder yet."""
    import pyarrow.compute as pc

    return int(pc.sum(additions.divide(rows, ledger.read(out)).new, min_count=0).as_py())


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

    arranged = bookkeeping.arrange(rows, before, plan.seed)
    if progress and (known := arranged.there + arranged.aside.num_rows):
        progress(known)
    report = _make(arranged.new, plan, building, progress)
    rejects = rejections.of_tasks(report, building)
    disliked = rejections.judged(report.filter(pc.is_null(report["reason"])), building, judging) if judging else {}
    lines, samples, later = bookkeeping.settle(arranged, report, before, plan=plan, disliked=disliked)
    files: dict[str, list[str]] = {part: [] for part in (*SPLITS, REJECTED, EXAMPLES)}
    copying = resources(plan.settings.model_copy(update={"cutter": CutterConfig()}), plan.image)
    shards = bookkeeping.shards(samples, plan.settings)
    for written in run(shards, tasks.copy_samples, copying, building=building):
        for line in written.to_pylist():
            files[line["split"]].append(line["file"])
    files[ledger.FOLDER] = ledger.write(lines, plan, building)
    old = additions.rejected_elsewhere(rows, plan.out)
    rejects = pa.concat_tables([rejects, later])
    shown_rows = _show(examples.choose(arranged.new, text_columns.batched(rejects)), plan, copying)
    files[EXAMPLES] = examples.write([*shown_rows, examples.kept(plan.out, old)], building)
    rejects = pa.concat_tables([old, arranged.aside, rejects])
    reasons = Counter(map(rejected.kind, text_columns.batched(rejects["reason"])))
    files[REJECTED] = rejections.write(rejects, locations.join(building, REJECTED))
    counts = text_columns.counts(before["split"], lines["split"])
    products, keys = text_columns.encode(before["product"], lines["product"])
    return Ingested(
        rows=rows.num_rows,
        splits={split: counts.get(split, 0) for split in SPLITS},
        without_scene=sum(len(part) - (pc.sum(part["scene"]).as_py() or 0) for part in (before, lines)),
        products=int(np.count_nonzero(numbers.count(products, len(keys)))),
        rejected=dict(reasons.most_common()),
        files={part: sorted(names) for part, names in files.items()},
        there=arranged.there,
        changed=arranged.changed.num_rows,
        gone=additions.gone(rows, before) + old.num_rows,
    )


def _make(rows: pa.Table, plan: Plan, building: str, progress: Progress | None) -> pa.Table:
    """Make samples of rows on the workers; a line for each, in order, see `reports.Reports`."""
    need = resources(plan.settings, plan.image)
    found = reports.Reports(rows.num_rows)
    has_network = plan.settings.cutter.model or plan.settings.cleaning.detectors
    maker = tasks.SampleMaker if has_network else tasks.make_samples

    def make(slices: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        return run(slices, maker, need, alone=alone, plan=plan, building=building)

    slices = bookkeeping.slices(rows, plan.settings, placement.at_once(need))
    for report in run_all(slices, make, lambda row: tasks.killer(row.to_pylist()[0], building)):
        found.add(report)
        if progress:
            progress(report.num_rows)
    return found.table()


def _show(rows: pa.Table, plan: Plan, need: StepResources) -> Iterator[pa.Table]:
    """Make small pictures of rows that were set aside, see examples.make; one that ends its process has none."""

    def make(slices: Sequence[pa.Table], *, alone: bool) -> Iterator[pa.Table]:
        return run(slices, examples.make, need, alone=alone, plan=plan)

    return run_all(examples.slices(rows), make, examples.without_picture)
