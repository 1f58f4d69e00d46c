"""Join the pairs of an ingested BG-Pair, so that each product has its reference in a column.

    python jobs/pairs.py --config mini data=data/bgpair out=data/bgpair-joined
    python jobs/evaluate.py --config mini data=data/bgpair-joined split=test model=MODEL \
      generators.personality=FOLDER methods=reference_similarity out=runs/bgpair

Writes out/test/*.parquet with the columns reference and reference_cutout. Pairs of which one picture was set aside when
they were ingested are left out and counted.
"""

from __future__ import annotations

from pydantic import Field

from p2i_ray.cluster import preflight
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import pairs
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


class PairsJob(Config):
    """The settings of the pairs job."""

    data: str = Field(description="EPBD folder that jobs/ingest.py made of bgpair_info.txt, a path or URI")
    out: str = Field(description="folder to write, a path or URI; must be new")


def run(job: PairsJob) -> None:
    """Run the job."""
    data, out = locations.absolute(job.data), locations.absolute(job.out)
    if locations.exists(out) and not locations.is_empty(out):
        raise UserError(f"out={job.out} is there already; give a new folder, or remove it")
    preflight.check_rights(out)
    with phase("join", None, "pairs") as progress:
        joined = pairs.join(data, out, progress)
    shown = ", ".join(joined.alone[:5]) + ", …" * (len(joined.alone) > 5)
    left_out = f"{len(joined.alone)}: {shown}" if joined.alone else "0"
    print(f"pairs      {joined.pairs}\nleft out   {left_out}\nwritten    {out}")


if __name__ == "__main__":
    main(PairsJob, __doc__, run)
