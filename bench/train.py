"""Training on cached features: its speed, the cost of Ray Train, and whether memory stays flat.

Four sides in one run, each with the mini preset's model, batch and two threads: two workers on cached features, the
same two workers encoding as they go, one process with the same step on the same features in plain torch, and one with a
plain diffusers loop.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from bench import rivals
from bench.children import own_memory
from p2i_ray.cluster import connection
from p2i_ray.config import Config, load
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.storage import locations

STEPS, LONG = 80, 2_000
ROWS = 600
LONG_BATCH = 8
WARM = 200  # steps after which memory is compared


def run() -> dict[str, float]:
    """Images a second of all sides and their ratios, the share of waiting, seconds to start, memory's growth."""
    config = load(Config, "mini")
    data = Path("data/mini")
    if not data.exists():
        subprocess.run([sys.executable, "-m", "p2i_ray.mini.data", "--out", str(data)], check=True)
    rows = rivals.rows_of(data, ROWS)
    connection.connect(config.ray)
    diffusion = config.diffusion.model_copy(update={"base": locations.absolute(config.diffusion.base)})
    config = config.model_copy(
        update={"diffusion": diffusion.model_copy(update={"clip": locations.absolute(diffusion.clip)})}
    )
    with tempfile.TemporaryDirectory() as folder:
        features, encoded_per_s = _encode(config, data, folder)
        before = _bare(config, features, STEPS // 2)
        cached = _train(config, features, folder, name="short", steps=STEPS)
        bare = statistics.mean((before, _bare(config, features, STEPS // 2)))  # the machine changes meanwhile
        online = rivals.encode_online(config, rows, STEPS // 2)
        plain = _plain(config, STEPS // 2)
        small = config.train.model_copy(update={"batch_size": LONG_BATCH})
        with _Memory() as memory:
            _train(config.model_copy(update={"train": small}), features, folder, name="long", steps=LONG)
    import ray

    ray.shutdown()
    return {
        "train_images_per_s": cached["images_per_s"],
        "train_online_images_per_s": online,
        "train_bare_loop_images_per_s": bare,
        "train_plain_diffusers_images_per_s": plain,
        "train_cached_vs_online": cached["images_per_s"] / online,
        "train_vs_bare_loop": cached["images_per_s"] / bare,
        "train_cached_vs_plain_diffusers": cached["images_per_s"] / plain,
        "train_waiting_share": cached["waiting"],
        "train_ray_start_s": cached["launched_s"],
        "train_start_s": cached["start_s"],
        "train_memory_growth": memory.growth(),
        "encode_rows_per_s": encoded_per_s,
    }


def _encode(config: Config, data: Path, folder: str) -> tuple[FeatureIndex, float]:
    from p2i_ray.data import reading
    from p2i_ray.diffusion.features import encode as features

    start, out = time.perf_counter(), f"{folder}/features"
    split = reading.read_split(str(data.absolute()), "train")
    written = features.encode(split, out, diffusion=config.diffusion, settings=config.features, image=config.image)
    return FeatureIndex(out, written.files, written.facts["shards"]), written.rows / (time.perf_counter() - start)


def _train(config: Config, features: FeatureIndex, folder: str, *, name: str, steps: int) -> dict[str, float]:
    from p2i_ray.diffusion.training import launch as training

    tracking = config.train.tracking.model_copy(update={"samples": 0})
    settings = config.train.model_copy(update={"tracking": tracking, "checkpointing_steps": steps})
    place = f"{folder}/{name}"
    found = training.train(
        features,
        keep=None,
        base=config.diffusion.base,
        diffusion=config.diffusion,
        settings=settings,
        steps=steps,
        seed=0,
        out=f"{place}/model",
        work=f"{place}/work",
        tracking=f"{place}/tracking",
    )
    print(f"{name}: {json.dumps(found)}", flush=True)
    return found


def _bare(config: Config, features: FeatureIndex, steps: int) -> float:
    threads = config.train.num_workers
    return _alone(f"rivals.bare_loop(load(Config, 'mini'), {features!r}, {steps}, {threads})", threads)


def _plain(config: Config, steps: int) -> float:
    threads = config.train.num_workers
    rows = f"rivals.rows_of(Path('data/mini'), {ROWS})"
    return _alone(f"rivals.plain_loop(load(Config, 'mini'), {rows}, {steps}, {threads})", threads)


def _alone(call: str, threads: int) -> float:
    """A call's number, in a process of its own: how many threads OpenMP has is read at the start."""
    code = (
        "from pathlib import Path; from bench import rivals; from p2i_ray.config import Config, load; "
        f"from p2i_ray.diffusion.features.index import FeatureIndex; print({call})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


class _Memory:
    """Within: notes what the training workers take, every half second."""

    def __init__(self) -> None:
        self._notes: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def growth(self) -> float:
        """The median time of the training's last tenth, against the tenth after the warm-up."""
        first, tenth = len(self._notes) * WARM // LONG, len(self._notes) // 10
        return statistics.median(self._notes[-tenth:]) / statistics.median(self._notes[first : first + tenth])

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in _title(p)]
            if len(workers) > 1:
                self._notes.append(sum(own_memory(worker) for worker in workers))


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
