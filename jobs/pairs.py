r"""Join the pairs of an ingested BG-Pair, so that each product has its reference in a column.

    python jobs/pairs.py --config mini data=data/bgpair out=data/bgpair-joined
    python jobs/evaluate.py --config mini data=data/bgpair-joined split=test model=MODEL \
      generators.personality=FOLDER methods=reference_similarity out=runs/bgpair

Writes out/test/*.parquet with the columns reference and reference_cutout. A picture may be in several pairs. Lines of
the list that are no pair, and pairs of which a picture was set aside when it was ingested, are left out and counted by
their reasons: every line of the list is joined or left out. Pairs appear in out/test when all are joined; after an
interruption the same command begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from p2i_ray.cluster import preflight
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import pair_list, pairs, publishing, rejected
from p2i_ray.run import job_output
from p2i_ray.storage import locations

SHOWN = 5  # pairs of a reason whose ids are listed


class PairsJob(Config):
    """The settings of the pairs job."""

    data: str = Field(description="EPBD folder that jobs/ingest.py made of bgpair_info.txt, a path or URI")
    out: str = Field(description="folder to write, a path or URI; must be new")


def run(job: PairsJob) -> None:
    """Run the job."""
    data, out = locations.absolute(job.data), locations.absolute(job.out)
    job_output.check(out, "pairs")
    pair_list.read(data)  # fail on data without pairs before anything is written
    preflight.check_rights(out)
    with job_output.held(out, "pairs"), phase("join", None, "pairs") as progress:
        publishing.remove_unfinished(out)  # of an attempt that was interrupted
        locations.remove(locations.join(out, pairs.SPLIT))
        joined = pairs.join(data, out, progress)
    print(f"pairs      {joined.pairs + len(joined.left_out)}\njoined     {joined.pairs}")
    print(f"left out   {len(joined.left_out)}")
    for line in _left_out(joined.left_out):
        print(f"  {line}")
    print(f"written    {out}")


def _left_out(reasons: Mapping[str, str]) -> Iterator[str]:
    """A line for each kind of reason: how many pairs, and the first of them, with what is said of it."""
    by_kind: dict[str, list[str]] = {}
    for pair, reason in reasons.items():
        by_kind.setdefault(rejected.kind(reason), []).append(pair)
    for kind, alike in by_kind.items():
        first, *others = alike
        told = reasons[first].removeprefix(kind).removeprefix(": ")
        more = f"; {', '.join(others[:SHOWN])}" + ", …" * (len(others) > SHOWN) if others else ""
        yield f"{kind:<20} {len(alike):>6}: {first}{f' ({told})' if told else ''}{more}"


if __name__ == "__main__":
    main(PairsJob, __doc__, run)
