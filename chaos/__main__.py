"""Inject faults into short runs of the loop, and compare each with an undisturbed run: `python -m chaos [--runs 20]`.

The runs share a Ray cluster of a head and two worker nodes on this machine. Each has faults of its own, drawn from its
seed: a process of the judge, of sampling or of training is killed, a node is lost or cut off, the driver is killed,
the disk is full, or the run folder is away or its bucket answers 503 for a while. Where the job ends early it is
started again with the same command.
Exit code 1: a run ended with other ids, feedback or weights, or not at all, or otherwise than with one line.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from chaos import faults, network, outcome, table
from chaos.bucket import Bucket
from chaos.disk import RunDisk, can_mount
from chaos.faults import KINDS, NEED_BUCKET, NEED_MOUNT, NEED_NETWORK, Fault, Step
from chaos.injection import FaultInjection, RunRecord
from chaos.job import Job, make_data, short_loop
from chaos.network import Network
from chaos.nodes import WORKERS, Nodes
from chaos.table import NO_VICTIM, Row
from p2i_ray.storage import folders, locations

HUNG = "HUNG at"
BUCKET = "chaos"
# A run counts as hung after so many seconds, and so many times the duration of the undisturbed run.
LEAST_LIMIT_S, LIMIT_FACTOR = 420.0, 3.0


class Baseline(NamedTuple):
    """The undisturbed run."""

    seconds: float
    step_seconds: Mapping[Step, float]
    outcome: outcome.Outcome


class Setting(NamedTuple):
    """The output folder, data, disk kind, cluster and bucket (none: no run needs one) of all runs."""

    out: Path
    data: str
    mount: bool
    nodes: Nodes
    bucket: Bucket | None


def main() -> int:
    """Run the job as often as the command line says; return the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that mounts and processes are cleaned up
    shutil.rmtree(arguments.out, ignore_errors=True)
    out = arguments.out.resolve()
    out.mkdir(parents=True)
    mount = can_mount(out)
    kinds = _possible_here(arguments.kinds, mount)
    rows: list[Row] = []
    with _cluster(kinds) as (nodes, bucket):
        setting = Setting(out=out, data=make_data(out / "data"), mount=mount, nodes=nodes, bucket=bucket)
        baseline = undisturbed(setting, arguments.calm)
        steps = ", ".join(f"{number} {name} {seconds:.1f}" for (number, name), seconds in baseline.step_seconds.items())
        print(f"undisturbed {baseline.seconds:.0f} s: {steps}\n{table.line(table.HEADS)}", flush=True)
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            rows.append(disturbed(setting, seed, faults.draw(seed, list(baseline.step_seconds), kinds), baseline))
            print(table.line(rows[-1].cells()), flush=True)
            table.write(rows, out)
            if rows[-1].end.startswith(HUNG) or not nodes.whole():
                nodes.renew()
    print(f"{table.summary(rows)}\n{table.LEGEND}\n{out / 'chaos.md'}")
    return 0 if all(row.same or row.end == NO_VICTIM for row in rows) else 1


def undisturbed(setting: Setting, times: int) -> Baseline:
    """The last of several undisturbed runs, which must all have the same outcome: else nothing can be compared."""
    found: list[Baseline] = []
    for number in range(times):
        with RunDisk(setting.out / f"calm-{number}", setting.mount) as disk:
            job = _job(setting, disk, setting.out / f"calm-{number}.log", bucket=None)
            begun = time.time()
            record = _run(setting, job, (), step_seconds={}, disk=disk, limit_s=10 * LEAST_LIMIT_S)
            if record.endings != ["done"]:
                sys.exit(f"error: the undisturbed run ends with {record.hung or record.endings}; see {job.log}")
            found.append(Baseline(record.seconds, job.step_seconds(begun), outcome.read(job.run_dir)))
        if found[-1].outcome != found[0].outcome:
            sys.exit("error: two undisturbed runs differ; nothing can be said about disturbed ones")
    return found[-1]


def disturbed(setting: Setting, seed: int, drawn: Sequence[Fault], baseline: Baseline) -> Row:
    """One run with these faults, compared with the undisturbed one."""
    folder, log = setting.out / f"seed-{seed}", setting.out / f"seed-{seed}.log"
    limit_s = max(LEAST_LIMIT_S, LIMIT_FACTOR * baseline.seconds) + sum(fault.hold_s for fault in drawn)
    bucket = setting.bucket if faults.in_bucket(drawn) else None
    with RunDisk(folder, setting.mount) as disk:
        job = _job(setting, disk, log, bucket)
        record = _run(
            setting, job, drawn, step_seconds=baseline.step_seconds, disk=disk, limit_s=limit_s, bucket=bucket
        )
        with _on_disk(job, bucket) as run_dir:
            verdict = None if record.hung else outcome.compare(baseline.outcome, outcome.read(run_dir))
            row = _row(seed, baseline, record, verdict)
            if not row.same and run_dir.exists():
                shutil.copytree(run_dir, folder / "run")
    return row


def _possible_here(kinds: Sequence[str], mount: bool) -> list[str]:
    """The kinds of faults that this machine permits; those that are left out are told, with the reason."""
    found = list(kinds)
    lacking = {NEED_MOUNT: None if mount else "mounting is not permitted"}
    if set(NEED_NETWORK) & set(kinds):
        lacking[NEED_NETWORK] = network.reason_against()
    for needy, why in lacking.items():
        if why and set(needy) & set(kinds):
            print(f"left out: {', '.join(needy)}, because {why}", flush=True)
            found = [kind for kind in found if kind not in needy]
    return found


@contextmanager
def _cluster(kinds: Sequence[str]) -> Iterator[tuple[Nodes, Bucket | None]]:
    """The cluster, in a network of its own if nodes are cut off, and the bucket, which the nodes' processes know."""
    with ExitStack() as stack:
        net = stack.enter_context(Network(WORKERS)) if set(NEED_NETWORK) & set(kinds) else None
        bucket = None
        if set(NEED_BUCKET) & set(kinds):
            bucket = stack.enter_context(Bucket(BUCKET, host=net.head if net else "127.0.0.1"))
            os.environ.update(bucket.environment)
        yield stack.enter_context(Nodes(net)), bucket


@contextmanager
def _on_disk(job: Job, bucket: Bucket | None) -> Iterator[Path]:
    """The run folder as a folder of this machine; a bucket's is removed from it afterwards."""
    if bucket is None:
        yield job.run_dir
        return
    place = _place(bucket, job.log)
    if locations.exists(place):
        with folders.local_folder(place) as local:
            yield Path(local)
        locations.remove(place)
    else:
        yield job.run_dir


def _place(bucket: Bucket, log: Path) -> str:
    return f"{bucket.uri}/{log.stem}"


def _run(
    setting: Setting,
    job: Job,
    drawn: Sequence[Fault],
    *,
    step_seconds: Mapping[Step, float],
    disk: RunDisk,
    limit_s: float,
    bucket: Bucket | None = None,
) -> RunRecord:
    evidence = job.log.with_suffix(".hang")
    injection = FaultInjection(
        job,
        drawn,
        step_seconds=step_seconds,
        nodes=setting.nodes,
        disk=disk,
        limit_s=limit_s,
        evidence=evidence,
        bucket=bucket,
    )
    return injection.run()


def _job(setting: Setting, disk: RunDisk, log: Path, bucket: Bucket | None) -> Job:
    run_dir, address = disk.root / "run", setting.nodes.address
    if bucket is None:
        return Job(short_loop(str(run_dir), setting.data), run_dir, address, log)
    command = short_loop(_place(bucket, log), setting.data)
    return Job(command, run_dir, address, log, has=lambda path: bucket.has(f"{log.stem}/{path}"))


def _row(seed: int, baseline: Baseline, record: RunRecord, verdict: outcome.Verdict | None) -> Row:
    injected = [f"{s.fault.kind} · round {s.round} {s.step} · {s.fault.share:.2f}" for s in record.injected]
    missed = [f"({fault}: found no victim before the end)" for fault in record.missed]
    traces = [ending for ending in record.endings if ending.startswith("TRACE")]
    end = f"{HUNG} {record.hung}" if record.hung else traces[0] if traces else "done" if injected else NO_VICTIM
    lost, ids, feedback, weights = verdict or (None, None, None, None)
    return Row(
        seed=seed,
        faults=injected + missed,
        whom=[s.whom for s in record.injected],
        calm_s=baseline.seconds,
        run_s=record.seconds,
        starts=max(1, len(record.endings)),
        startup_s=record.startup_s,
        lost=lost,
        ids=ids,
        feedback=feedback,
        weights=weights,
        endings=record.endings,
        end=end,
        strays=record.strays,
        orphans=record.orphans,
    )


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 up")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=_at_least_one, default=20, help="disturbed runs")
    parser.add_argument("--calm", type=_at_least_one, default=2, help="undisturbed runs before, which must be the same")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next has the next seed")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND", help=", ".join(KINDS)
    )
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"), help="folder; emptied first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
