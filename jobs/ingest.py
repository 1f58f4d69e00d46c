"""Make EPBD data from photos and their product names: a folder and a CSV, or a source that holds both.

    python jobs/ingest.py --config a100x4 source=photos names=photos/names.csv out=data/products
    python jobs/ingest.py --config mini source=photos names=names.csv out=data/products ingest.split.validation=20
    python jobs/ingest.py --config mini source=BG60k out=data/bg60k
    python jobs/ingest.py --config mini source=photos out=data/products preset=my.yaml

The CSV has a header: file,name,category, and perhaps id, group, mask and cutout, or the names that shop systems give
them; any usual separator and encoding is read. JSON lines, Parquet, Hugging Face data sets, imagefolder, webdataset,
zips, BG60k, BG1K and BG-Pair need no names (see docs/data.md). A mask or cutout file gives the product, else the
photo's transparency, else it is searched for. A cutout without a scene is painted and tested, never trained on. Photos
of one product are in one split. Every row ends in a split, or in rejected/ with a reason. The same command adds the
rows that are new later. Look at preview.png before you train: jobs/idr.py --config my.yaml, if preset= had the
settings for that written.
"""

from __future__ import annotations

import functools
import json
import posixpath
import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config, new_preset
from p2i_ray.config.loading import given_settings
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase, say
from p2i_ray.data import card, checksums, pair_list, rejected
from p2i_ray.data.cleaning import loading as cleaning
from p2i_ray.data.cutouts import loading
from p2i_ray.data.preview import write_preview
from p2i_ray.data.schema import EXAMPLES, RECORD, REJECTED, SPLITS
from p2i_ray.data.sources import earlier_settings, ledger, source
from p2i_ray.data.sources.ingest import Ingested, check, check_out, count_new, ingest
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.errors import UserError
from p2i_ray.run import job_output, lease
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    from p2i_ray.judge.attractiveness import Attractiveness


class IngestJob(Config):
    """The settings of the ingest job."""

    source: str = Field(
        description="folder of photos, class folders, zips, tables or tars; a path or URI that all nodes reach"
    )
    names: str = Field(
        "", description="list with file (below source), name, category; perhaps id, group, mask, cutout (files, too)"
    )
    out: str = Field(
        description="EPBD folder to make, a path or URI that all nodes reach; what is new is added to this source's"
    )
    preset: str = Field(
        "",
        description="YAML file to write for --config of other jobs: it extends this job's preset, and names the data",
    )
    ingest: IngestConfig = IngestConfig()


def run(job: IngestJob) -> None:
    """Run the job."""
    place, out = locations.absolute(job.source), locations.absolute(job.out)
    names = locations.absolute(job.names) if job.names else ""
    check_apart(place, out)
    job_output.check_finished(place)  # an export
    check_out(out)
    preset = ""
    if job.preset:
        preset = new_preset.text(job, job.preset, out, given_settings(job))
        new_preset.check_free(job.preset, preset)
    settings = job.ingest.model_copy(update={"cutter": loading.anywhere(job.ingest.cutter)})
    loading.check(settings.cutter)
    settings = settings.model_copy(update={"cleaning": cleaning.check(settings.cleaning)})
    judging = _judging(job, out) if settings.cleaning.min_attractiveness else None
    found = source.read(place, names, category=settings.category)
    plan = Plan(found.root, out, settings=settings, image=job.image, seed=job.seed)
    check(found.rows, plan)
    preflight.check_rights(out, *([posixpath.dirname(locations.absolute(job.preset))] if preset else []))
    with judging.judge if judging else nullcontext():
        connection.connect(job.ray)
        if judging:
            _prepare(judging, job, count_new(found.rows, out), out)
        with lease.held(locations.join(out, lease.FILE)), phase("ingest", found.rows.num_rows, "photos") as progress:
            done = ingest(found.rows, plan, progress, judging)
            if found.pairs:
                pair_list.write(found.pairs, out)
    made = [locations.join(out, split, file) for split in done.splits for file in done.files[split]]
    preview = locations.join(out, "preview.png")
    if not made:  # maybe because an earlier call was killed after its samples were there: show them all
        made = [file for split in SPLITS for file in folders.files(locations.join(out, split), ".parquet")]
    if made:
        write_preview(made, preview, job.image)
    summary = {key: value for key, value in done._asdict().items() if key != "files"} | {"notes": found.notes}
    used: dict[str, Any] = {
        "ingest": settings.model_dump(mode="json"),
        "image": job.image.model_dump(mode="json"),
        "seed": job.seed,
    }
    if judging:
        used["judge"] = {"model": job.judge.model, "prompt_version": judging.prompt.version}
    earlier = _record_of_before(out)
    described, ours = "", str(earlier.get("card", ""))
    if sum(done.splits.values()):
        described, ours = card.write(out, _facts(done, place, names, out, settings=used), ours)
    record = {**summary, **used, "card": ours}
    locations.write_text(locations.join(out, RECORD), json.dumps(record, indent=2))
    print(table(done))
    print(f"data      {out}\npreview   {preview if made else 'none: no row became a sample'}")
    if done.rejected:
        print(f"rejected  {locations.join(out, REJECTED, rejected.NAME)}")
    if described:
        print(f"card      {described}")
    if preset and described:
        locations.write_text(locations.absolute(job.preset), preset)
        print(f"preset    {job.preset}: jobs/idr.py --config {shlex.quote(job.preset)}")
    other = earlier_settings.differing(earlier.get("ingest", {}), used["ingest"])
    for note in [*found.notes, *_notes(done, other)]:
        print(f"note      {note}")


def _judging(job: IngestJob, out: str) -> Attractiveness:
    """The rule that the judge decides; no engine is started yet."""
    from p2i_ray.judge import attractiveness
    from p2i_ray.judge.judge import Judge

    rule = job.ingest.cleaning
    assert rule.min_attractiveness
    judge = Judge(job.judge, job.image, job.seed, cache=attractiveness.cache(out))
    progress = functools.partial(phase, "judge", unit="photos")
    return attractiveness.Attractiveness(judge, rule.min_attractiveness, rule.attractiveness_prompt, progress)


def _prepare(judging: Attractiveness, job: IngestJob, photos: int, out: str) -> None:
    """Say what the judge will cost, and find what would end it after all photos are cut."""
    from p2i_ray.judge import length_check
    from p2i_ray.judge.attractiveness import forecast
    from p2i_ray.judge.request_lengths import Asked

    if not photos:
        return
    length_check.check(judging.judge.settings, job.image, Asked(prompt=judging.prompt))
    say(f"judge     {forecast(judging.judge.settings, judging.prompt, photos, job.image.resolution)}")
    if new_preset.has_toy_judge(job):
        say("judge     the mini preset's knows its toy world alone: of real photos its scores mean nothing")
    preflight.check([resources.scoring(job.judge)], writes=[out])
    if job.judge.hosted.url:  # it holds no GPU while photos are cut
        judging.judge.start()


def _record_of_before(out: str) -> dict[str, Any]:
    """The record of an earlier call; empty if there was none."""
    record = locations.join(out, RECORD)
    return dict(json.loads(locations.read_text(record))) if locations.exists(record) else {}


def check_apart(source: str, out: str) -> None:
    """Raise a UserError if `out` is the source or in it: its pictures would be photos of the source later."""
    if f"{out.rstrip('/')}/".startswith(f"{source.rstrip('/')}/"):
        raise UserError(f"out {out} is in source {source}, and would be taken for photos later; name a folder outside")


def _facts(done: Ingested, place: str, names: str, out: str, *, settings: dict[str, Any]) -> card.Facts:
    """The card's facts of the data."""
    return card.Facts(
        source=place,
        names=names,
        rows=done.rows,
        splits=done.splits,
        without_scene=done.without_scene,
        products=done.products,
        rejected=done.rejected,
        settings=settings,
        checksums=checksums.updated(out, checksums.names(_parts(out))),
    )


def _parts(out: str) -> dict[str, list[str]]:
    """The files of the data, old and new: part -> names."""
    return {part: folders.names(locations.join(out, part)) for part in (*SPLITS, REJECTED, EXAMPLES, ledger.FOLDER)}


def _notes(done: Ingested, other: list[str]) -> list[str]:
    """Lines on the outcome for a user; `other` are settings that the last call had."""
    if not sum(done.splits.values()):
        return []
    notes = []
    if done.changed:
        notes.append(
            f"{done.changed} of the rows that were there have another file, mask, cutout, group, name or category now; "
            "they stay as they were (a new out has them all anew)"
        )
    if done.there and other:
        notes.append(
            f"the call before had {', '.join(other)}; the rows that were there stay as they were, and the card has the "
            "settings of this call alone (a new out has all rows by them)"
        )
    if done.gone:
        notes.append(
            f"{done.gone} rows of earlier calls are not in the source now; they stay where they are, and count"
        )
    if not done.splits["train"]:
        notes.append("no row has a scene, and training needs photos with a background: these can be painted and tested")
    if not done.splits["validation"]:
        notes.append(
            f"validation is empty, and training needs it; all rows show {done.products} products, and a product is in "
            "one split (see ingest.groups and ingest.split.validation)"
        )
    return notes


def table(done: Ingested) -> str:
    """The outcome of the rows, one line for each split and each reason."""
    lines = {"rows of the source": done.rows}
    lines |= {"in a split already": done.there} if done.there else {}
    lines |= {"earlier rows not in it": done.gone} if done.gone else {}
    lines |= {**done.splits, "products": done.products}
    lines |= {f"rejected: {reason}": rows for reason, rows in done.rejected.items()}
    lines |= {"without a scene": done.without_scene} if done.without_scene else {}
    width = max(24, *map(len, lines))
    return "\n".join(f"{label:<{width}}{rows:>8}" for label, rows in lines.items())


if __name__ == "__main__":
    main(IngestJob, __doc__, run)
