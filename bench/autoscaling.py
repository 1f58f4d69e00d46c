"""Measure whether nodes come for the steps of a run and go afterwards: a short run on a cluster without workers.

    python -m bench autoscaling
    python -m bench.autoscaling --out docs/autoscaling.png      # the plot, too

The stand-in nodes are marked with the resource of A100s, and the steps reserve it: there is no GPU here to reserve.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import growing
from p2i_ray.cluster import ray_internals

ROOT = Path(__file__).parents[1]
WORKER = {"CPU": 2, "GPU": 1, "accelerator_type:A100": 1}
MAX_WORKERS = 2
SHORT = [
    "idr.rounds=1",
    "idr.steps=[10]",
    "train.batch_size=8",
    "train.checkpointing_steps=5",
    "generate.num_inference_steps=4",
    "calibration.rows=0",
    "idr.inspect=0",
    "idr.overlap=false",  # one step at a time, so that it shows
]
GROUPS = ("judge", "features", "train", "generate", "evaluate")
ON_A100 = [
    *(f"{group}.accelerator_type=A100" for group in GROUPS),
    "judge.keep_warm=false",
    "judge.num_cpus=1",  # one node
    "train.num_cpus=2",
    "generate.num_cpus=2",  # a node each
]
POLL_S = 0.5
LIMIT_S = 1500.0  # longest run
GONE_S = 120.0  # longest wait for the last node to go


class Step(NamedTuple):
    """A step's begin and end, in seconds since the first count."""

    name: str
    start: float
    end: float


class Observation(NamedTuple):
    """A run as seen from outside.

    Attributes:
        at: seconds since the first count.
        workers: nodes besides the head at that time.
        steps: those of the run.
        output: what the job printed.
    """

    at: list[float]
    workers: list[int]
    steps: list[Step]
    output: str


class NodeMonitor:
    """Counts the nodes besides the head in a thread."""

    def __init__(self, address: str) -> None:
        self._nodes = ray_internals.NodeCounter(address)
        self._stop = threading.Event()
        self.began = time.time()
        self.at: list[float] = []
        self.workers: list[int] = []
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def wait_until_none(self, limit_s: float) -> None:
        """Wait until no worker is left, or for `limit_s` seconds."""
        deadline = time.monotonic() + limit_s
        while self.workers[-1] and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop counting."""
        self._stop.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._stop.is_set():
            workers = self._nodes.workers()
            self.at.append(time.time() - self.began)
            self.workers.append(workers)
            self._stop.wait(POLL_S)


def observe_run(folder: Path, data: str, settings: Sequence[str] = ()) -> Observation:
    """Run the loop on a cluster without workers, and count its nodes until the last has gone.

    Args:
        folder: for the run and the cluster's files.
        data: EPBD folder of the toy world.
        settings: laid over the short run's.
    """
    run_dir, log = folder / "run", folder / "job.log"
    places = [f"run_dir={run_dir}", f"data={data}"]
    with growing.cluster(folder, 1, WORKER, MAX_WORKERS) as address:
        monitor = NodeMonitor(address)
        command = [sys.executable, "jobs/idr.py", "--config", "mini", f"ray.address={address}", *places, *SHORT]
        command += [*ON_A100, *settings]
        python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": python_path}
        try:
            with log.open("w", encoding="utf-8") as output:
                done = subprocess.run(
                    command, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False, timeout=LIMIT_S
                )
            monitor.wait_until_none(GONE_S)
        finally:
            monitor.stop()
    said = log.read_text("utf-8")
    if done.returncode:
        raise RuntimeError(f"the run failed: {said[-2000:]}")
    return Observation(monitor.at, monitor.workers, steps_of(run_dir, monitor.began), said)


def steps_of(run_dir: Path, began: float) -> list[Step]:
    """The steps in the order of their begin, from their manifests."""
    found = []
    for manifest in run_dir.glob("round-*/steps/*.json"):
        end = manifest.stat().st_mtime - began
        read = json.loads(manifest.read_text("utf-8"))
        found.append(Step(f"{read['step']} {read['round']}", end - read["seconds"], end))
    return sorted(found, key=lambda step: step.start)


def draw(seen: Observation, out: Path) -> None:
    """Draw the nodes over time, with the steps shaded."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 3.2), layout="constrained")
    shown = [step for step in seen.steps if step.end - step.start > 2]
    for number, step in enumerate(shown):
        axes.axvspan(step.start, step.end, color=("#dfe9f5", "#eef3e2")[number % 2], linewidth=0)
        axes.text(
            (step.start + step.end) / 2, MAX_WORKERS + 0.12, step.name.split()[0], rotation=30, fontsize=8, ha="left"
        )
    axes.step(seen.at, seen.workers, where="post", color="#1f4e79", linewidth=2)
    axes.set(xlim=(0, seen.at[-1]), ylim=(0, MAX_WORKERS + 0.1), xlabel="seconds", ylabel="worker nodes")
    axes.set_yticks(range(MAX_WORKERS + 1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=130)
    pyplot.close(figure)


def run() -> dict[str, float]:
    """The figures of `measured`, from a process of its own: its cluster asks for no token, others may."""
    command = [sys.executable, "-m", "bench.autoscaling", "--json"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}  # nobody else is on this cluster
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(out: Path | None = None) -> dict[str, float]:
    """Most nodes, seconds until the first came, and from the end of the last step until the last had gone.

    Args:
        out: PNG of the nodes over time.
    """
    from p2i_ray.mini.data import make

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "epbd"), train=120, validation=16, test=16, test_unseen=8)
        seen = observe_run(Path(folder), str(Path(folder, "epbd")))
    if out:
        draw(seen, out)
    first = next(at for at, count in zip(seen.at, seen.workers, strict=True) if count)
    last = max(at for at, count in zip(seen.at, seen.workers, strict=True) if count)
    return {
        "autoscaling_most_nodes": max(seen.workers),
        "autoscaling_nodes_at_the_end": seen.workers[-1],
        "autoscaling_first_node_s": first,
        "autoscaling_gone_after_s": last - seen.steps[-1].end,
        "autoscaling_seconds": seen.steps[-1].end,
    }


def main() -> None:
    """Draw the plot, and print the figures."""
    from bench.tables import as_lines

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="PNG of the nodes over time")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    figures = measured(arguments.out)
    print(json.dumps(figures) if arguments.json else as_lines(figures))


if __name__ == "__main__":
    main()
