"""Where a training can be watched: TensorBoard's files and sample pictures, and MLflow or Weights & Biases if asked.

<location>/events.out.tfevents.…        what `tensorboard --logdir` reads
<location>/samples/step-000250.png      the rows that were painted after a step
<location>/mlflow-run, wandb-run        the id of the run there, for a training that goes on
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
from p2i_ray.diffusion.training.tracker_queue import StepImage, StepMetrics, Tracker, TrackerQueue
from p2i_ray.diffusion.training.trackers import check_tool, make_tool
from p2i_ray.storage import locations

SAMPLES = "samples"  # the folder, and TensorBoard's tag
FLUSH_S = 10  # figures reach TensorBoard's file so late at most

log = logging.getLogger(__name__)


class TrainingTracker:
    """Told by the first worker what happens; `open_tracker` makes it. As a context manager it closes itself."""

    def __init__(self, location: str, first_step: int) -> None:
        """Open a folder for TensorBoard; see `open_tracker`."""
        from torch.utils.tensorboard import SummaryWriter

        self._location = location
        self._copy_of = None
        if locations.is_uri(location):  # a tool that was given up may still write there when it is removed
            self._copy_of = tempfile.TemporaryDirectory(prefix="p2i_tracking_", ignore_cleanup_errors=True)
        self.folder = self._copy_of.name if self._copy_of else location  # a local one
        locations.make_folder(self.folder)
        self._writer = SummaryWriter(self.folder, purge_step=first_step, flush_secs=FLUSH_S)
        self._messenger: TrackerQueue | None = None
        self._copied = True  # the last time

    def tell(self, tool: Tracker) -> None:
        """From now on, tell a tool as well."""
        self._messenger = TrackerQueue(tool)

    def text(self, step: int, title: str, content: str) -> None:
        """A text for TensorBoard, in Markdown."""
        self._writer.add_text(title, content, step)
        self._writer.flush()

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """What a step gave: figures by name, "loss/total" for one in a group. Takes no time worth speaking of.

        Args:
            step: from 1.
            values: name to figure.
        """
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        if self._messenger:
            self._messenger.put(StepMetrics(step, dict(values)))

    def pictures(self, step: int, sheet: Pixels) -> None:
        """What the model paints after a step.

        Args:
            step: from 1.
            sheet: (H, W, 3) uint8; see samples.sheet.
        """
        path = locations.join(self.folder, SAMPLES, f"step-{step:06}.png")
        locations.write_bytes(path, encode_png(sheet))
        self._writer.add_image(SAMPLES, sheet, step, dataformats="HWC")
        self._writer.flush()
        if self._messenger:
            self._messenger.put(StepImage(step, path))
        self._copy()

    def close(self, failed: bool = False) -> None:
        """Write what is left; MLflow and W&B are told how it ended. Waits for them `messenger.CLOSE_S` at most."""
        self._writer.close()
        if self._messenger:
            self._messenger.close(failed)
        self._copy()
        if self._copy_of:
            self._copy_of.cleanup()

    def _copy(self) -> None:
        """Bring the files to where they belong. Watching never ends a training: what can't be copied is told once."""
        if not self._copy_of:
            return
        try:
            locations.put_folder(self.folder, self._location)
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
    settings: TrackingConfig, location: str, run_name: str, first_step: int, about: Mapping[str, Any]
) -> TrainingTracker:
    """Begin to track a training, or go on where it was interrupted.

    Addresses and credentials of MLflow and W&B are read by their own libraries from their own environment variables
    (MLFLOW_TRACKING_URI …, WANDB_API_KEY …), and are not written anywhere.

    Args:
        settings: which tool is told besides TensorBoard.
        location: a folder of this training, local or a URI. To a URI files are copied at every picture and at the end.
        run_name: what MLflow and W&B call it.
        first_step: the first step that will be told, from 1: what was written of this and later steps is lost and
            is replaced.
        about: settings and facts to show with the run; JSON values.

    Raises:
        UserError: the tool is not installed, or doesn't know where to write.
    """
    check_tool(settings)
    forget(location, first_step)
    tracker = TrainingTracker(location, first_step)
    tracker.text(first_step - 1, "settings", f"```\n{json.dumps(about, indent=1, ensure_ascii=False)}\n```")
    tool = make_tool(settings, location, tracker.folder, run_name, about)
    if tool:
        tracker.tell(tool)
    return tracker


def forget(location: str, first_step: int) -> None:
    """Remove the sample pictures of a step and of those after it."""
    for file in locations.files(locations.join(location, SAMPLES), ".png"):
        if step_of(file) >= first_step:
            locations.remove(file)


def step_of(picture: str) -> int:
    """The step of a sample picture, by its name; -1 if it is none."""
    found = re.search(r"step-(\d+)\.png$", picture)
    return int(found[1]) if found else -1
