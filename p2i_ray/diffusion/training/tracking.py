"""Track a training: TensorBoard's files and sample images, and MLflow or Weights & Biases where the settings say so.

<location>/events.out.tfevents.…        what `tensorboard --logdir` reads
<location>/samples/step-000250.png      the rows that were painted after a step
<location>/mlflow-run, wandb-run        the id of the run there, for a training that resumes
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.data.images import Pixels, encode_png
from p2i_ray.diffusion.training.tracker_queue import CLOSE_S, StepImage, StepMetrics, Tracker, TrackerQueue
from p2i_ray.diffusion.training.trackers import check_tool, make_tool
from p2i_ray.storage import folders, locations

SAMPLES = "samples"  # the folder, and TensorBoard's tag
FLUSH_S = 10  # longest delay of metrics before they are in TensorBoard's file

log = logging.getLogger(__name__)


class TrainingTracker:
    """The first worker's record of a training; `open_tracker` makes it. As a context manager it closes itself."""

    def __init__(self, location: str, first_step: int) -> None:
        """Open a folder for TensorBoard; see `open_tracker`."""
        from torch.utils.tensorboard import SummaryWriter

        self._location = location
        self._copy_of = None
        if locations.is_uri(location):  # a tool that was given up may still write there when it is removed
            self._copy_of = tempfile.TemporaryDirectory(prefix="p2i_tracking_", ignore_cleanup_errors=True)
        self.folder = self._copy_of.name if self._copy_of else location  # a local one
        folders.make_folder(self.folder)
        self._writer = SummaryWriter(self.folder, purge_step=first_step, flush_secs=FLUSH_S)
        self._queue: TrackerQueue | None = None
        self._close_timeout_s = CLOSE_S
        self._copied = True  # the last time

    def add_tool(self, tool: Tracker, close_timeout_s: float) -> None:
        """Send everything to a tool as well, from now on; `close` waits for it so many seconds at most."""
        self._queue = TrackerQueue(tool)
        self._close_timeout_s = close_timeout_s

    def text(self, step: int, title: str, content: str) -> None:
        """A text for TensorBoard, in Markdown."""
        self._writer.add_text(title, content, step)
        self._writer.flush()

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step's metrics by name, "loss/total" for one in a group; waits for nothing.

        Args:
            step: from 1.
            values: by name.
        """
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if self._queue:
            self._queue.put(StepMetrics(step, dict(values)))

    def log_image(self, step: int, sheet: Pixels) -> None:
        """Log the sample images after a step.

        Args:
            step: from 1.
            sheet: (H, W, 3) uint8; see samples.sheet.
        """
        path = locations.join(self.folder, SAMPLES, f"step-{step:06}.png")
        locations.write_bytes(path, encode_png(sheet))
        self._writer.add_image(SAMPLES, sheet, step, dataformats="HWC")
        self._writer.flush()
        if self._queue:
            self._queue.put(StepImage(step, path))
        self._copy()

    def close(self, failed: bool = False) -> None:
        """Write what is left and end the run of MLflow or W&B, waiting for them for the closing timeout at most."""
        self._writer.close()
        if self._queue:
            self._queue.close(failed, self._close_timeout_s)
        self._copy()
        if self._copy_of:
            self._copy_of.cleanup()

    def _copy(self) -> None:
        """Copy the files to their location. Tracking never ends a training: a copy that fails is logged once."""
        if not self._copy_of:
            return
        try:
            folders.put_folder(self.folder, self._location)
            self._copied = True
        except Exception as error:  # each filesystem has its own
            if self._copied:
                log.warning("%s can't be written: %s; the training goes on", self._location, error)
            self._copied = False

    def __enter__(self) -> TrainingTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)


def open_tracker(
    settings: TrackingConfig,
    location: str,
    *,
    run_name: str,
    first_step: int,
    about: Mapping[str, Any],
    close_timeout_s: float = CLOSE_S,
) -> TrainingTracker:
    """Begin to track a training, or go on where it was interrupted.

    Addresses and credentials of MLflow and W&B are read by their own libraries from their own environment variables
    (MLFLOW_TRACKING_URI …, WANDB_API_KEY …), and are not written anywhere.

    Args:
        settings: which tool is used besides TensorBoard.
        location: a folder of this training, local or a URI. To a URI files are copied at every image and at the end.
        run_name: what MLflow and W&B call it.
        first_step: the first step that will be logged, from 1; what was written of it and later steps is replaced.
        about: settings and facts to show with the run; JSON values.
        close_timeout_s: longest wait for the tool at the end.

    Raises:
        UserError: the tool is not installed, or doesn't know where to write.
    """
    check_tool(settings)
    forget(location, first_step)
    tracker = TrainingTracker(location, first_step)
    tracker.text(first_step - 1, "settings", f"```\n{json.dumps(about, indent=1, ensure_ascii=False)}\n```")
    tool = make_tool(
        settings, location, folder=tracker.folder, run_name=run_name, about=about, close_timeout_s=close_timeout_s
    )
    if tool:
        tracker.add_tool(tool, close_timeout_s)
    return tracker


def forget(location: str, first_step: int) -> None:
    """Remove the sample images of a step and of those after it."""
    for file in folders.files(locations.join(location, SAMPLES), ".png"):
        if step_of(file) >= first_step:
            locations.remove(file)


def step_of(file: str) -> int:
    """The step of a sample image, by its name; -1 if it is none."""
    found = re.search(r"step-(\d+)\.png$", file)
    return int(found[1]) if found else -1
