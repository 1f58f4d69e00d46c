"""Tracking a training: read back with TensorBoard's, MLflow's and W&B's own readers."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.training import tracker_queue
from p2i_ray.diffusion.training.tracker_queue import StepImage, StepMetrics, TrackerQueue
from p2i_ray.diffusion.training.trackers import check_tool, make_tool
from p2i_ray.diffusion.training.tracking import TrainingTracker, open_tracker, step_of
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

CLOSES_S = 500.0  # a tool ends its run for sure, also where importing and starting it takes minutes
ABOUT = {"batch_size": 64, "tracking": {"samples": 4}, "base": "runs/base <model>"}


def sheet(shade: int = 200) -> Pixels:
    pixels = np.full((12, 8, 3), shade, np.uint8)
    pixels[:6] = (255, 0, 10)
    return pixels


def track(location: str, first_step: int, last_step: int, *, tool: str | None = None, offset: float = 0.0) -> None:
    """Steps as a training logs them, with an image every second step; returns when the tool has everything."""
    with open_tracker(
        TrackingConfig(tool=tool),
        location,
        run_name="round-1",
        first_step=first_step,
        about=ABOUT,
        close_timeout_s=CLOSES_S,
    ) as tracker:
        for step in range(first_step, last_step + 1):
            tracker.log_metrics(step, {"loss/total": 1 / step + offset, "images_per_s": 2.5})
            if step % 2 == 0:
                tracker.log_image(step, sheet(10 * step + round(offset)))


def tensorboard(folder: str) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    return events


def pixels_of(encoded: bytes) -> Pixels:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded)))


def test_tensorboard_shows_figures_pictures_and_settings(tmp_path: Path) -> None:
    track(str(tmp_path), 1, 3)
    events = tensorboard(str(tmp_path))
    assert set(events.Tags()["scalars"]) == {"loss/total", "images_per_s"}
    found = [(event.step, event.value) for event in events.Scalars("loss/total")]
    assert found == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    [picture] = events.Images("samples")
    assert picture.step == 2
    assert np.array_equal(pixels_of(picture.encoded_image_string), sheet(20))
    [text] = events.Tensors("settings/text_summary")
    assert '"batch_size": 64' in text.tensor_proto.string_val[0].decode()
    file = tmp_path / "samples" / "step-000002.png"
    assert np.array_equal(pixels_of(file.read_bytes()), sheet(20))
    assert step_of(str(file)) == 2 and step_of("samples/other.png") == -1


def test_a_resumed_training_replaces_what_was_lost(tmp_path: Path) -> None:
    track(str(tmp_path), 1, 8)
    track(str(tmp_path), 5, 6, offset=3)
    events = tensorboard(str(tmp_path))
    found = [(event.step, event.value) for event in events.Scalars("loss/total")]
    expected = [(step, pytest.approx(1 / step + 3 * (step >= 5))) for step in range(1, 7)]
    assert found == expected
    assert [event.step for event in events.Images("samples")] == [2, 4, 6]
    assert np.array_equal(pixels_of(events.Images("samples")[2].encoded_image_string), sheet(63))
    names = [file.name for file in sorted((tmp_path / "samples").iterdir())]
    assert names == [f"step-00000{step}.png" for step in (2, 4, 6)]


def test_figures_can_be_read_while_the_training_goes_on(tmp_path: Path) -> None:
    with open_tracker(TrackingConfig(), str(tmp_path), run_name="round-1", first_step=1, about=ABOUT) as tracker:
        tracker.log_metrics(1, {"loss/total": 0.5})
        tracker.log_image(1, sheet())
        assert tensorboard(str(tmp_path)).Scalars("loss/total")[0].value == 0.5


def test_a_bucket_gets_the_files_at_every_picture_and_at_the_end(tmp_path: Path) -> None:
    location = "memory://c-tracking/round-1"
    with open_tracker(TrackingConfig(), location, run_name="round-1", first_step=1, about=ABOUT) as tracker:
        tracker.log_metrics(1, {"loss/total": 0.5})
        assert not folders.files(location)
        tracker.log_image(2, sheet())
        [events] = folders.files(location)
        before = len(locations.read_bytes(events))
        assert locations.exists(locations.join(location, "samples", "step-000002.png"))
        tracker.log_metrics(3, {"loss/total": 0.25})
        folder = tracker.folder
    assert len(locations.read_bytes(events)) > before
    assert not Path(folder).exists()
    track(location, 2, 2, offset=1)
    with folders.local_folder(location) as copy:
        assert [(e.step, e.value) for e in tensorboard(copy).Scalars("loss/total")] == [(1, 0.5), (2, 1.5)]
    locations.remove("memory://c-tracking")


def test_a_bucket_that_can_t_be_written_ends_no_training(caplog: pytest.LogCaptureFixture) -> None:
    tracker = TrainingTracker("memory://c-tracking-blocked/round-1", 1)
    locations.write_bytes("memory://c-tracking-blocked/round-1", b"a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        tracker.log_image(1, sheet())
        tracker.log_image(2, sheet())
        tracker.close()
    [line] = caplog.messages
    assert line.startswith("memory://c-tracking-blocked/round-1 can't be written: ") and "training goes on" in line
    locations.remove("memory://c-tracking-blocked")


class Listener:
    """A tool that keeps its messages, after `fails` failures, or hangs until `goes_on` is set."""

    name = "Listener"

    def __init__(self, fails: int = 0, goes_on: threading.Event | None = None) -> None:
        self.fails, self.goes_on = fails, goes_on
        self.messages: list[object] = []
        self.ended: bool | None = None

    def open(self) -> None:
        if self.goes_on:
            self.goes_on.wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("no way to http://someone:secret@tracking:5000/api\nmore lines")

    def log_metrics(self, metrics: Sequence[StepMetrics]) -> None:
        self.messages += metrics

    def log_image(self, image: StepImage) -> None:
        self.messages.append(image)

    def close(self, failed: bool) -> None:
        self.ended = failed


def test_a_tool_gets_everything_in_order() -> None:
    tool = Listener()
    queue = TrackerQueue(tool)
    figures = [StepMetrics(step, {"loss": 1.0}) for step in range(1, 120)]
    for one in figures:
        queue.put(one)
    queue.put(StepImage(119, "sheet.png"))
    queue.close(failed=True)
    assert tool.messages == [*figures, StepImage(119, "sheet.png")]
    assert tool.ended is True


def test_a_tool_that_fails_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tool = Listener(fails=2)
    with caplog.at_level(logging.WARNING):
        queue = TrackerQueue(tool)
        queue.put(StepMetrics(1, {"loss": 1.0}))
        wait_until(lambda: tool.fails == 0)
        queue.put(StepMetrics(2, {"loss": 0.5}))
        queue.close()
    assert [one.step for one in tool.messages if isinstance(one, StepMetrics)] == [2]
    assert tool.ended is False
    [line] = caplog.messages
    assert line == (
        "Listener does not get everything (no way to http://tracking:5000/api); the training and TensorBoard go on"
    )


def test_a_tool_that_hangs_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    goes_on = threading.Event()
    queue = TrackerQueue(Listener(goes_on=goes_on))
    start = time.perf_counter()
    for step in range(tracker_queue.MAX_WAITING + 10):
        queue.put(StepMetrics(step, {}))
    with caplog.at_level(logging.WARNING):
        queue.close(timeout=0.2)
    goes_on.set()
    assert time.perf_counter() - start < 5
    [line] = caplog.messages
    assert "no answer within 0.2 s at the end" in line


def wait_until(true: Any) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_a_tool_that_is_not_installed_or_not_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_tool(TrackingConfig())
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "mlflow").mkdir()  # a folder is no package
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UserError, match=r"mlflow: (the package is not installed here; `pip install mlflow-skinny`|set)"
    ):
        check_tool(TrackingConfig(tool="mlflow"))
    with pytest.raises(UserError, match=r"train.tracking.tool=wandb: no API key; set WANDB_API_KEY"):
        open_tracker(TrackingConfig(tool="wandb"), str(tmp_path / "out"), run_name="round-1", first_step=1, about=ABOUT)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def mlflow_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    mlflow = pytest.importorskip("mlflow", reason="not pinned; see pyproject.toml")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    return mlflow.MlflowClient()


def test_mlflow_goes_on_with_its_run(mlflow_client: Any, tmp_path: Path) -> None:
    location = str(tmp_path / "tracking")
    track(location, 1, 2, tool="mlflow")
    track(location, 2, 3, tool="mlflow", offset=3)
    experiment = mlflow_client.get_experiment_by_name("p2i_ray").experiment_id
    [run] = mlflow_client.search_runs([experiment])
    assert run.info.run_name == "round-1" and run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in ABOUT.items()}
    history = mlflow_client.get_metric_history(run.info.run_id, "loss/total")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (2, 3.5), (3, pytest.approx(3 + 1 / 3))]
    assert abs(history[0].timestamp / 1000 - time.time()) < 60
    assert [file.path for file in mlflow_client.list_artifacts(run.info.run_id, "samples")] == [
        "samples/step-000002.png"
    ]


def test_an_mlflow_that_can_t_be_reached_ends_no_training(
    mlflow_client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    start, location = time.perf_counter(), str(tmp_path / "tracking")
    with caplog.at_level(logging.WARNING, "p2i_ray"):
        track(location, 1, 3, tool="mlflow")
    [line] = own_lines(caplog)
    assert line.startswith("MLflow does not get everything (") and "secret" not in line
    assert [event.step for event in tensorboard(location).Scalars("loss/total")] == [1, 2, 3]
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")  # MLflow's own setting tries for four minutes
    caplog.clear()
    tool = make_tool(TrackingConfig(tool="mlflow"), location, folder=location, run_name="round-1", about=ABOUT)
    assert tool is not None
    queue = TrackerQueue(tool)
    queue.put(StepMetrics(1, {"loss/total": 1.0}))
    with caplog.at_level(logging.WARNING, "p2i_ray"):
        queue.close(timeout=0.5)
    assert "no answer within 0.5 s" in own_lines(caplog)[0]
    assert time.perf_counter() - start < 20


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("p2i_ray")]


def test_wandb_goes_on_with_its_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import wandb

    wandb.teardown()  # it keeps what it read from the environment
    monkeypatch.setenv("WANDB_MODE", "offline")
    location = str(tmp_path / "tracking")
    track(location, 1, 2, tool="wandb")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    track(location, 2, 3, tool="wandb", offset=3)
    wandb.teardown()  # `finish` returns before W&B's own process has flushed the file; this waits for its end
    [first] = [list(wandb_records(file)) for file in Path(location).glob("wandb/*/*.wandb")]
    [second] = [list(wandb_records(file)) for file in tmp_path.glob("elsewhere/wandb/*/*.wandb")]
    ids = {record.run.run_id for record in [*first, *second] if record.HasField("run")}
    assert ids == {Path(location, "wandb-run").read_text()}
    [run] = [record.run for record in first if record.HasField("run")]
    assert (run.project, run.display_name) == ("p2i_ray", "round-1")
    assert {item.key: item.value_json for item in run.config.update}["batch_size"] == "64"
    assert wandb_history(first, "loss/total") == [("1", "1"), ("2", "0.5")]
    assert [step for step, _ in wandb_history(first, "samples")] == ["2"]
    assert wandb_history(second, "loss/total") == [("2", "3.5"), ("3", "3.3333333333333335")]
    assert not [record for record in first if record.HasField("environment") and record.environment.program]
    assert [record.exit.exit_code for record in second if record.HasField("exit")] == [0]


def wandb_records(path: Path) -> Iterator[Any]:
    """A run's offline file: a LevelDB log after 7 bytes, of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    content, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def wandb_history(records: Sequence[Any], name: str) -> list[tuple[str, str]]:
    """(step, value) of a figure, as JSON."""
    found = []
    for record in records:
        row = {item.nested_key[0]: item.value_json for item in record.history.item}
        if record.HasField("history") and name in row:
            found.append((row["step"], row[name]))
    return found
