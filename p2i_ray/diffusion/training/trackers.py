"""MLflow and Weights & Biases as `Tracker`s: optional packages, imported where they are used."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p2i_ray.config.diffusion import TrackingConfig
from p2i_ray.diffusion.training.tracker_queue import CLOSE_S, StepImage, StepMetrics, Tracker
from p2i_ray.errors import UserError
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from wandb import Run

PACKAGES = {"mlflow": "mlflow-skinny", "wandb": "wandb"}  # module -> what pip calls it
MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
MLFLOW_METRICS = 1000  # most in a request
MLFLOW_VALUE = 500  # longest text of a setting that all servers take


def check_tool(settings: TrackingConfig) -> None:
    """Check that the tool can be used, without asking its server.

    Raises:
        UserError: it is not installed here, or doesn't know where to write; the line says what to do.
    """
    tool = settings.tool
    if tool is None:
        return
    found = importlib.util.find_spec(tool)
    if found is None or found.origin is None:  # without an origin it is a folder of that name, as W&B leaves them
        raise UserError(
            f"train.tracking.tool={tool}: the package is not installed here; "
            f"`pip install {PACKAGES[tool]}` on every node, or set train.tracking.tool=null"
        )
    if tool == "mlflow" and not os.environ.get(MLFLOW_ADDRESS):
        raise UserError(f"train.tracking.tool=mlflow: set {MLFLOW_ADDRESS} to the server's address, for all nodes")
    if tool == "wandb" and not _knows_wandb():
        raise UserError("train.tracking.tool=wandb: no API key; set WANDB_API_KEY for all nodes, or WANDB_MODE=offline")


def make_tool(
    settings: TrackingConfig,
    location: str,
    *,
    folder: str,
    run_name: str,
    about: Mapping[str, Any],
    close_timeout_s: float = CLOSE_S,
) -> Tracker | None:
    """The tool that the settings name; nothing is opened yet. Arguments as in `tracking.open_tracker`.

    Args:
        settings: which tool, and the project.
        location: where the run's id is kept.
        folder: local, for the tool's own files.
        run_name: what to call the run.
        about: settings and facts to show with it.
        close_timeout_s: longest wait for it at the end.
    """
    if settings.tool == "mlflow":
        return MLflow(settings.project, locations.join(location, "mlflow-run"), run_name=run_name, about=about)
    if settings.tool == "wandb":
        return Wandb(
            settings.project,
            locations.join(location, "wandb-run"),
            folder=folder,
            run_name=run_name,
            about=about,
            finish_timeout_s=close_timeout_s,
        )
    return None


class MLflow:
    """A run of an MLflow experiment; the server's address is in MLFLOW_TRACKING_URI."""

    name = "MLflow"

    def __init__(self, experiment: str, note: str, *, run_name: str, about: Mapping[str, Any]) -> None:
        """Name the run; `note` is the location of the small file with its id."""
        self._experiment, self._note, self._run_name, self._about = experiment, note, run_name, about
        self._client: MlflowClient
        self._run: str

    def open(self) -> None:
        """Make the run, or mark the one that was begun as running."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        if locations.exists(self._note):
            self._run = locations.read_text(self._note)
            self._client.update_run(self._run, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(self._experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(experiment, run_name=self._run_name).info.run_id
        locations.write_text(self._note, self._run)
        settings = [Param(name, str(value)[:MLFLOW_VALUE]) for name, value in self._about.items()]
        self._client.log_batch(self._run, params=settings)

    def log_metrics(self, metrics: Sequence[StepMetrics]) -> None:
        """Send metrics in as few requests as the server takes."""
        from mlflow.entities import Metric

        values = [
            Metric(name, value, round(one.at * 1000), one.step) for one in metrics for name, value in one.values.items()
        ]
        for start in range(0, len(values), MLFLOW_METRICS):
            self._client.log_batch(self._run, metrics=values[start : start + MLFLOW_METRICS])

    def log_image(self, image: StepImage) -> None:
        """Send an artifact, samples/step-000250.png."""
        self._client.log_artifact(self._run, image.path, "samples")

    def close(self, failed: bool) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


class Wandb:
    """A run of a W&B project; the key is in WANDB_API_KEY or where `wandb login` put it."""

    name = "Weights & Biases"

    def __init__(
        self,
        project: str,
        note: str,
        *,
        folder: str,
        run_name: str,
        about: Mapping[str, Any],
        finish_timeout_s: float,
    ) -> None:
        """Name the run; `note` is the location of the small file with its id, `folder` gets W&B's own files."""
        self._project, self._note, self._folder = project, note, folder
        self._finish_timeout_s = finish_timeout_s
        self._run_name, self._about = run_name, about
        self._run: Run

    def open(self) -> None:
        """Make the run, or go on with the one that was begun."""
        import wandb

        if not locations.exists(self._note):
            locations.write_text(self._note, uuid.uuid4().hex)
        settings = wandb.Settings(
            console="off",
            silent=True,
            symlink=False,
            save_code=False,
            x_disable_meta=True,  # the command line of a Ray worker may hold the cluster's password
            finish_timeout=self._finish_timeout_s,
        )
        self._run = wandb.init(
            project=self._project,
            name=self._run_name,
            id=locations.read_text(self._note),
            resume="allow",
            reinit="create_new",
            dir=os.environ.get("WANDB_DIR", self._folder),
            config=dict(self._about),
            settings=settings,
        )
        self._run.define_metric(
            "*", step_metric="step"
        )  # W&B's own steps only go up: no resumed training could use them

    def log_metrics(self, metrics: Sequence[StepMetrics]) -> None:
        """Add a row for each step to the run's history."""
        for one in metrics:
            self._run.log({"step": one.step, **one.values})

    def log_image(self, image: StepImage) -> None:
        """Add an image to the run's history."""
        import wandb

        self._run.log({"step": image.step, "samples": wandb.Image(image.path)})

    def close(self, failed: bool) -> None:
        """Mark the run as ended; waits for the upload."""
        self._run.finish(exit_code=int(failed))


def _knows_wandb() -> bool:
    """Whether W&B works offline or has a key."""
    import wandb

    if os.environ.get("WANDB_API_KEY"):  # `login` would try the server for five seconds
        return True
    return wandb.setup().settings.mode != "online" or wandb.login(prompt=False, verify=False)
