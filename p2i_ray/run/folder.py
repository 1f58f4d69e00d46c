"""A run folder: which steps are done, what they counted, and how a run goes on where it was killed.

Every step writes below its round's folder and is done when its manifest, one small file, is there. A manifest is
written atomically and last; whatever a killed attempt left behind is cleared before the step runs again.

    <run_dir>/config.yaml                     the settings as resolved, of the newest attempt
    <run_dir>/changes.json                    what was changed between attempts (changes.py)
    <run_dir>/fingerprints.json               what was read of the inputs' content (inputs.py)
    <run_dir>/run.json                        the run at a glance, rewritten after each step from the manifests
    <run_dir>/round-N/steps/<step>.json       one manifest a step
    <run_dir>/round-N/{scores,checkpoint,generated,critiques}/ …  what the steps wrote
    <run_dir>/round-N/tracking/               TensorBoard's files and sample pictures of the training
    <run_dir>/lease.json                      who works on the run just now
    <run_dir>/attempts/                       the drivers that worked on the run: what they did when, and their end
    <run_dir>/judge-cache/                    the judge's answers, unless judge.cache names another place
    <run_dir>/feature-cache/                  the rows' features, unless features.cache names another place
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from p2i_ray.cluster.gpu_sharing import with_shared_gpus
from p2i_ray.config import Config, Effect
from p2i_ray.config.loading import effects, flat
from p2i_ray.console import logs
from p2i_ray.errors import UserError, user_error_line
from p2i_ray.run import continuation, disk_errors, manifests, status
from p2i_ray.run.attempt import Attempt
from p2i_ray.run.inputs import RunInput, RunInputs
from p2i_ray.run.lease import Lease
from p2i_ray.run.manifests import Counts, Manifest
from p2i_ray.run.step_table import SELECT, Step, depending_on
from p2i_ray.storage import folders, locations

Result = TypeVar("Result")


class StepObserver(Protocol):
    """Told of the steps that a run does; those that are done already are skipped without a word."""

    def around(self, round_number: int, step: Step) -> AbstractContextManager[object]:
        """A context in which the step is done."""


class Deferral(Protocol):
    """Takes over steps that no other step reads."""

    def __call__(
        self, round_number: int, step: Step, compute: Callable[[], Any], record: Callable[[str, Any], Counts]
    ) -> bool:
        """Whether it sees to it that the step is done; arguments as of `Run.once_unread`."""


class Run:
    """An opened run folder; `attempt` is this process's record in it, which begins when somebody enters it.

    Args:
        run_dir: its location.
        config: the settings as the steps use them; see gpu_sharing.
        inputs: what the steps use from outside the folder.
        lease: on the folder, held by the caller (none: nobody else works there).
    """

    def __init__(self, run_dir: str, config: Config, inputs: RunInputs, lease: Lease | None = None) -> None:
        self.dir = run_dir
        self.config = config
        self._inputs = inputs
        self.attempt = Attempt(run_dir)
        self._lease = lease
        self._kept_fraction: float | None = None
        self._set_aside: dict[tuple[int, str], int] = {}  # rows by step
        self._observers: list[StepObserver] = []
        self._deferral: Deferral | None = None

    @classmethod
    def open(
        cls,
        run_dir: str,
        config: Config,
        *,
        inputs: Sequence[RunInput] = (),
        redo_from: str | None = None,
        lease: Lease | None = None,
    ) -> Run:
        """Make a run folder, or continue a run.

        Args:
            run_dir: its location.
            config: the settings.
            inputs: what the steps use from outside the folder; their fingerprints are recorded and compared.
            redo_from: finished steps to do anew, with all that follows from them; see continuation.steps_named.
            lease: as of the class.

        Raises:
            UserError: finished steps were made with other settings or inputs, which the line names; or the folder
                holds other things, or hurt files.
        """
        run_dir = locations.absolute(run_dir)
        used = RunInputs(run_dir, inputs)
        if status.is_run(run_dir):
            continuation.go_on(run_dir, config, used, redo_from)
        else:
            continuation.begin(run_dir, config, used, redo_from)
        used.begin()
        run = cls(run_dir, with_shared_gpus(config), used, lease)
        run.write_summary("running")
        return run

    def path(self, round_number: int, *parts: str) -> str:
        """A location below a round's folder."""
        return locations.join(manifests.folder(self.dir, round_number), *parts)

    def title(self, round_number: int, step: str) -> str:
        """A step's title for people, as in "round 2/3 · train"."""
        return f"round {round_number}/{self.config.idr.rounds} · {step}"

    def observe(self, observer: StepObserver) -> None:
        """Have an observer told of each step that is really done from now on."""
        self._observers.append(observer)

    def defer_to(self, deferral: Deferral) -> None:
        """Have steps that no other step reads offered to `deferral`, which may do them beside what follows."""
        self._deferral = deferral

    def done(self, round_number: int, step: Step) -> Manifest | None:
        """The manifest of a finished step, if it is finished.

        Raises:
            UserError: the run folder is away, and with it maybe the manifest; or that is hurt.
        """
        path = manifests.location(self.dir, round_number, step.name)
        if not locations.exists(path):
            self._check_there()
            if not locations.exists(path):  # it wasn't away a moment ago either
                return None
        return manifests.read_one(path)

    def once(
        self, round_number: int, step: Step, work: Callable[[str], Counts], early: tuple[float, float] | None = None
    ) -> Manifest:
        """Do a step, unless it is done already; observers are told of its start and its end.

        Args:
            round_number: 1, 2, …; 0 is before training.
            step: of the table; its output is cleared first.
            work: does the step; gets the location of its output.
            early: when its work began and the seconds that it took, where it was done before its turn.

        Raises:
            UserError: the step's own, with its round and name before the line.
        """
        finished = self.done(round_number, step)
        if finished:
            self._look_at(finished)
            return finished
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.around(round_number, step))
            return self._do(round_number, step, work, early)

    def once_unread(
        self,
        round_number: int,
        step: Step,
        compute: Callable[[], Result],
        record: Callable[[str, Result], Counts],
    ) -> None:
        """Do a step whose output no other step reads, unless it is done already; it may be done later.

        Args:
            round_number: 1, 2, …; 0 is before training.
            step: of the table.
            compute: finds what the step writes; it leaves the run folder alone.
            record: writes it; gets the location of the output, and what was found.
        """
        finished = self.done(round_number, step)
        if finished:
            self._look_at(finished)
        elif self._deferral is None or not self._deferral(round_number, step, compute, record):
            self.once(round_number, step, lambda out: record(out, compute()))

    def forget(self, round_number: int, step: Step) -> None:
        """Have a step done again, by removing its manifest."""
        locations.remove(manifests.location(self.dir, round_number, step.name))

    def _do(
        self, round_number: int, step: Step, work: Callable[[str], Counts], early: tuple[float, float] | None
    ) -> Manifest:
        out = self.path(round_number, step.output)
        locations.remove(out)
        began, start = time.time(), time.perf_counter()
        with self.attempt.span("step", round_number, step.name), self._named(round_number, step.name):
            self._inputs.check_unchanged(step.uses)
            counts = work(out)
            self._check_written(out, counts)
            self._inputs.check_unchanged(step.uses)
            inputs = self._inputs.of(step.uses) if self._inputs.names else None
        seconds = time.perf_counter() - start
        if early:
            began, seconds = early[0], early[1] + seconds
        seconds = round(seconds, 2)
        manifest = Manifest(
            step=step.name,
            round=round_number,
            seconds=seconds,
            began=began,
            inputs=inputs,
            settings=_adjustable(self.config, step),
            versions=manifests.versions(),
            **counts.model_dump(),
        )
        locations.write_text(manifests.location(self.dir, round_number, step.name), manifest.model_dump_json(indent=1))
        self._inputs.save()
        self._look_at(manifest)
        self.write_summary("running")
        return manifest

    def _check_there(self) -> None:
        if disk_errors.is_away(self.dir):
            raise UserError(disk_errors.away_line(self.dir))
        if self._lease:
            self._lease.check()

    def _check_written(self, out: str, counts: Counts) -> None:
        """See that the output is there: written while the run folder was away it is not, and must not count as done."""
        self._check_there()
        if not counts.files:
            return
        gone = set(counts.files).difference(file.rsplit("/", 1)[-1] for file in folders.files(out))
        if gone:
            raise UserError(
                f"{len(gone)} of {len(counts.files)} files written to {out} are not there, maybe because its disk was "
                "away; give the same command again: the step is done anew"
            )

    def write_summary(self, status: str) -> None:
        """Rewrite run.json from the manifests, unless another driver has taken the run over."""
        if self._lease and self._lease.lost_to:
            return
        rounds = manifests.rounds(self.dir, self.config.idr.rounds)
        account = self.attempt.account()
        summary = {
            "status": status,
            "seed": self.config.seed,
            "seconds": round(sum(step["seconds"] for row in rounds for step in row["steps"].values()), 2),
            "versions": manifests.versions(),
            "rounds": rounds,
            "account": account.figures() if account else None,  # where the drivers' time went
        }
        locations.write_text(locations.join(self.dir, "run.json"), json.dumps(summary, indent=1))

    def publish(self, model: str, also: Mapping[str, bytes] | None = None) -> None:
        """Make a round's model the run's model, and the run done.

        Args:
            model: location of the round's model folder.
            also: files to put beside it, by their paths in the folder.
        """
        target = locations.join(self.dir, "model")
        locations.remove(target)
        with folders.local_folder(model) as folder:
            folders.put_folder(folder, target)
        for path, content in (also or {}).items():
            locations.write_bytes(locations.join(target, path), content)
        self.write_summary("done")

    def table(self) -> str:
        """The run at a glance, a line a round."""
        return manifests.table(manifests.rounds(self.dir, self.config.idr.rounds))

    def _look_at(self, manifest: Manifest) -> None:
        """Have the attempt show what a finished step counted."""
        self._set_aside[manifest.round, manifest.step] = manifest.set_aside
        if manifest.step == SELECT.name and manifest.rows_in:
            self._kept_fraction = manifest.rows_out / manifest.rows_in
        self.attempt.saw(sum(self._set_aside.values()), self._kept_fraction)

    @contextmanager
    def _named(self, round_number: int, step: str) -> Iterator[None]:
        """Have log lines and an exception out of the block say which step it is."""
        title = self.title(round_number, step)
        try:
            with logs.at(title):
                yield
        except Exception as error:
            mistake = user_error_line(error)
            if mistake is not None:
                raise UserError(f"{title}: {mistake}") from error
            error.add_note(title)
            raise


def _adjustable(config: Config, step: Step) -> dict[str, Any]:
    """The settings that a step depends on and that may have been others in the steps before it."""
    marks, values = dict(effects(type(config))), dict(flat(config.model_dump(mode="json")))
    adjustable = (key for key, mark in marks.items() if mark is Effect.ADJUSTABLE and key != "idr.rounds")
    return {key: values[key] for key in adjustable if step in depending_on(key)}
