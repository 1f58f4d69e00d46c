"""The job under test: a short form of `make idr`, started again with the same command when it has ended early."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chaos.faults import PUBLISH, Step

ROOT = Path(__file__).parents[1]
ROWS = {"train": 120, "validation": 16, "test": 8, "test_unseen": 8}
ROUNDS = 2
SETTINGS = (
    f"idr.rounds={ROUNDS}",
    "idr.steps=[12, 8]",
    "idr.baseline=false",
    "idr.inspect=12",
    "calibration.rows=0",
    "train.batch_size=8",
    "train.checkpointing_steps=4",
    "train.tracking.samples=0",
    "generate.num_inference_steps=2",
    "generate.num_workers=1",
    "prepare=null",
)
BROKEN = {"train": {5: "image", 11: "cutout"}, "validation": {3: "cutout"}}  # rows that must be set aside every time
STEP_SHOWN = re.compile(rb"round \d+/\d+ \S+ \w")  # in the log once the first step is running
ONE_LINE = "error: "


def make_data(folder: Path) -> str:
    """Make a small data set of the toy world, some of whose images are truncated."""
    from p2i_ray.mini.data import make

    make(folder, **ROWS)
    for split, broken in BROKEN.items():
        file = folder / split / "part-000.parquet"
        table = pq.read_table(file)
        rows = table.to_pylist()
        for number, column in broken.items():
            rows[number][column]["bytes"] = rows[number][column]["bytes"][:100]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    return str(folder)


@dataclass
class Command:
    """One start of the job.

    Attributes:
        begun: time.monotonic() of its start.
        startup_s: seconds until its first step was running, or until its end (none: neither yet).
        code: its exit code (none: it runs).
        line: its last line, if it ended early by itself.
    """

    begun: float
    startup_s: float | None = None
    code: int | None = None
    line: str = ""

    @property
    def ending(self) -> str:
        """The ending: a word, or the error line."""
        if self.code == -signal.SIGKILL:
            return "killed"
        if self.code == 2 and self.line.startswith(ONE_LINE):
            return self.line
        return "done" if self.code == 0 else f"TRACE (exit code {self.code}): {self.line}"


def short_loop(run_dir: str, data: str) -> list[str]:
    """The job's command line."""
    return [sys.executable, "jobs/idr.py", "--config", "mini", f"run_dir={run_dir}", f"data={data}", *SETTINGS]


class Job:
    """A job and its starts.

    Args:
        command: the same every time.
        run_dir: the run folder that it writes, as far as that lies on a disk.
        address: of the cluster that it joins.
        log: file for its output.
        has: whether the run folder has a file of this relative path (none: it lies on a disk).
    """

    def __init__(
        self,
        command: Sequence[str],
        run_dir: Path,
        address: str,
        log: Path,
        *,
        has: Callable[[str], bool] | None = None,
    ) -> None:
        self.run_dir = run_dir
        self._has = has or (lambda path: Path(run_dir, path).exists())
        self.log = log
        self.commands: list[Command] = []
        self._argv = list(command)
        python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._env = {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}

    def begin(self) -> None:
        """Start the command."""
        with self.log.open("ab") as out:
            out.write(f"--- command {len(self.commands) + 1}\n".encode())
            self._log_from = out.tell()
            self._process = subprocess.Popen(
                self._argv, cwd=ROOT, env=self._env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.commands.append(Command(time.monotonic()))

    @property
    def pid(self) -> int:
        """Process id of the driver."""
        return self._process.pid

    def look(self) -> Command:
        """The state of the present command."""
        command = self.commands[-1]
        command.code = self._process.poll()
        if command.startup_s is None and (command.code is not None or STEP_SHOWN.search(self._output())):
            command.startup_s = time.monotonic() - command.begun
        if command.code is not None:
            lines = self._output().decode("utf-8", "replace").strip().splitlines()
            command.line = lines[-1].strip() if lines else ""
        return command

    def kill(self) -> None:
        """Kill the driver with SIGKILL, if it runs."""
        self._process.kill()
        self._process.wait()

    def done(self, step: Step) -> bool:
        """Whether a step's manifest exists."""
        return self._has(f"round-{step[0]}/steps/{step[1]}.json")

    def step_seconds(self, begun: float) -> dict[Step, float]:
        """The steps of a finished run in the order in which they ended, with the seconds from one end to the next.

        Args:
            begun: time.time() of the first command.
        """
        ends = {
            (int(file.parents[1].name.removeprefix("round-")), file.stem): file.stat().st_mtime
            for file in self.run_dir.glob("round-*/steps/*.json")
        }
        order = sorted(ends, key=lambda step: ends[step])
        starts = [begun, *(ends[step] for step in order)]
        seconds = {step: ends[step] - start for step, start in zip(order, starts, strict=False)}
        return {**seconds, (ROUNDS, PUBLISH): time.time() - starts[-1]}

    def _output(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read()
