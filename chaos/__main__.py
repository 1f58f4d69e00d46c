"""Disturb short runs of the loop, and see whether each ends as an undisturbed one: `python -m chaos [--runs 20]`.

The runs share a Ray cluster of a head and two worker nodes on this machine. Each has faults of its own, drawn from its
seed: a process of the judge, the painter or the training is killed, a node is lost, the driver is killed, the disk is
full, or the folder of the run is away for a while. Where the job ends early it is started again with the same command.
Exit code 1: a run ended with other ids, feedback or weights, or not at all, or otherwise than with one line.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from chaos import faults, outcome, table
from chaos.faults import KINDS, NEED_MOUNT, Fault, Step
from chaos.job import Job, make_data, short_loop
from chaos.nodes import Nodes
from chaos.shelf import Shelf, can_mount
from chaos.storm import Storm, Story
from chaos.table import NO_VICTIM, Row

HUNG = "HUNG at"
LEAST_LIMIT_S, LIMIT = 420.0, 3.0  # a run counts as hung after so many seconds, and so many times the undisturbed one's


class Calm(NamedTuple):
    """The undisturbed run."""

    seconds: float
    pace: Mapping[Step, float]
    outcome: outcome.Outcome


class Place(NamedTuple):
    """Where runs are made, and of what."""

    out: Path
    data: str
    mount: bool
    nodes: Nodes


def main() -> int:
    """Run what was asked for; the exit code."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started and mounted goes with this process
    shutil.rmtree(asked.out, ignore_errors=True)
    out = asked.out.resolve()
    out.mkdir(parents=True)
    mount = can_mount(out)
    kinds = [kind for kind in asked.kinds if mount or kind not in NEED_MOUNT]
    if not mount:
        print(f"left out, because mounting is not permitted: {', '.join(NEED_MOUNT)}", flush=True)
    rows: list[Row] = []
    with Nodes() as nodes:
        place = Place(out, make_data(out / "data"), mount, nodes)
        calm = undisturbed(place, asked.calm)
        steps = ", ".join(f"{number} {name} {seconds:.1f}" for (number, name), seconds in calm.pace.items())
        print(f"undisturbed {calm.seconds:.0f} s: {steps}\n{table.line(table.HEADS)}", flush=True)
        for seed in range(asked.seed, asked.seed + asked.runs):
            rows.append(disturbed(place, seed, faults.draw(seed, list(calm.pace), kinds), calm))
            print(table.line(rows[-1].cells()), flush=True)
            table.write(rows, out)
            if rows[-1].end.startswith(HUNG) or not nodes.whole():
                nodes.renew()
    print(f"{table.summary(rows)}\n{table.LEGEND}\n{out / 'chaos.md'}")
    return 0 if all(row.same or row.end == NO_VICTIM for row in rows) else 1


def undisturbed(place: Place, times: int) -> Calm:
    """The last of so many undisturbed runs, which must all be the same: else there is nothing to compare with."""
    found: list[Calm] = []
    for number in range(times):
        with Shelf(place.out / f"calm-{number}", place.mount) as shelf:
            job = _job(place, shelf, place.out / f"calm-{number}.log")
            begun = time.time()
            story = Storm(job, (), {}, place.nodes, shelf, 10 * LEAST_LIMIT_S, place.out / "calm.hang").run()
            if story.endings != ["done"]:
                sys.exit(f"error: the undisturbed run ends with {story.hung or story.endings}; see {job.log}")
            found.append(Calm(story.seconds, job.pace(begun), outcome.read(job.run_dir)))
        if found[-1].outcome != found[0].outcome:
            sys.exit("error: two undisturbed runs differ; nothing can be said about disturbed ones")
    return found[-1]


def disturbed(place: Place, seed: int, drawn: Sequence[Fault], calm: Calm) -> Row:
    """One run with these faults, beside the undisturbed one."""
    folder, log = place.out / f"seed-{seed}", place.out / f"seed-{seed}.log"
    limit_s = max(LEAST_LIMIT_S, LIMIT * calm.seconds)
    with Shelf(folder, place.mount) as shelf:
        job = _job(place, shelf, log)
        story = Storm(job, drawn, calm.pace, place.nodes, shelf, limit_s, log.with_suffix(".hang")).run()
        verdict = None if story.hung else outcome.compare(calm.outcome, outcome.read(job.run_dir))
        row = _row(seed, calm, story, verdict)
        if not row.same and job.run_dir.exists():
            shutil.copytree(job.run_dir, folder / "run")
    return row


def _job(place: Place, shelf: Shelf, log: Path) -> Job:
    run_dir = shelf.disk / "run"
    return Job(short_loop(run_dir, place.data), run_dir, place.nodes.address, log)


def _row(seed: int, calm: Calm, story: Story, verdict: outcome.Verdict | None) -> Row:
    struck = [f"{s.fault.kind} · round {s.round} {s.step} · {s.fault.share:.2f}" for s in story.struck]
    missed = [f"({fault}: found no victim before the end)" for fault in story.missed]
    traces = [ending for ending in story.endings if ending.startswith("TRACE")]
    end = f"{HUNG} {story.hung}" if story.hung else traces[0] if traces else "done" if struck else NO_VICTIM
    lost, ids, feedback, weights = verdict or (None, None, None, None)
    return Row(
        seed, struck + missed, [s.whom for s in story.struck], calm.seconds, story.seconds, max(1, len(story.endings)),
        story.startup_s, lost, ids, feedback, weights, story.endings, end, story.strays, story.orphans,
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="disturbed runs")
    parser.add_argument("--calm", type=int, default=2, help="undisturbed runs before them, which must be the same")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next has the next seed")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND", help=", ".join(KINDS)
    )
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"), help="folder; emptied first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
