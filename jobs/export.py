"""Export EPBD data to the forms of other programs: webdataset tars, or Hugging Face's imagefolder.

    python jobs/export.py --config mini data=data/mini out=exports/mini-tars format=webdataset
    python jobs/export.py --config mini data=data/mini out=exports/mini-files format=imagefolder

webdataset: SPLIT-000000.tar with KEY.jpg (or png, webp), KEY.cutout.png and KEY.json (id, name, category, group).
imagefolder: SPLIT/images, SPLIT/cutouts, and SPLIT/metadata.parquet (file_name, cutout_file_name, id, name, category,
group), or metadata.csv with metadata=csv; of a CSV, Hugging Face `datasets` reads the id 007 as 7.
Pictures are copied byte for byte. Rows without a photo are parts of their own, SPLIT_without_scene. `datasets` and
jobs/ingest.py read both forms. Rows that can't be exported are counted, and listed in rejected.csv.
"""

from __future__ import annotations

from pydantic import Field

from p2i_ray.cluster import connection, preflight
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import footers, preset_data
from p2i_ray.data.exports import export
from p2i_ray.data.exports.image_folder import Metadata
from p2i_ray.run import job_output, lease
from p2i_ray.storage import folders, locations


class ExportJob(Config):
    """The settings of the export job."""

    data: str = Field(description="EPBD folder, a path or URI that all nodes reach")
    out: str = Field(description="folder for the export, a path or URI that all nodes reach; must be new")
    format: export.Format = Field(description="webdataset: tars; imagefolder: files and their metadata")
    metadata: Metadata = Field("parquet", description="imagefolder: the kind of its metadata file")
    rows_per_tar: int = Field(256, ge=1, description="largest tar, rows; so many rows with pictures are in memory")


def run(job: ExportJob) -> None:
    """Run the job."""
    data, out = preset_data.ready(job, job.data), locations.absolute(job.out)
    splits = {task.split for task in export.plan(data, job.rows_per_tar)}
    rows = sum(footers.count(data, split) for split in splits)
    job_output.check(out, "export")
    preflight.check_rights(out)
    connection.connect(job.ray)
    with job_output.held(out, "export"), phase("export", rows) as progress:
        for left in [*folders.files_below(out)]:  # of an attempt that was interrupted
            if left not in (job_output.MARKER, lease.FILE):
                locations.remove(locations.join(out, left))
        done = export.export(
            data, out, kind=job.format, rows_per_tar=job.rows_per_tar, metadata=job.metadata, progress=progress
        )
    for part, count in done.parts.items():
        print(f"{part:<28}{count:>8}")
    for reason, count in done.set_aside.items():
        print(f"set aside: {reason:<17}{count:>8}")
    print(f"export    {out}")


if __name__ == "__main__":
    main(ExportJob, __doc__, run)
