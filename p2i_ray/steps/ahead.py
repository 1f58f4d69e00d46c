"""Work done ahead of its turn, beside another step, where the cluster has room for both.

Nothing depends on it: what is computed early lies in the caches under its content, where its step looks first; or it
is engines that are up when they are asked. A run without it, or one killed in the middle of it, ends the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from p2i_ray.cluster import placement, resources
from p2i_ray.cluster.resources import StepResources
from p2i_ray.config import Config
from p2i_ray.data import reading
from p2i_ray.judge.judge import Judge
from p2i_ray.run.folder import Run
from p2i_ray.steps import selection
from p2i_ray.steps.beside import Beside
from p2i_ray.steps.common import feature_settings
from p2i_ray.steps.watch_folder import Work, watch_folder
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    from ray import ObjectRef


def reserve(run: Run, judge: Judge) -> None:
    """Where the engines share GPUs with the other steps, have their share reserved before any of these takes its own.

    Else two trainers would find room on one GPU. The engines start while the first step runs.
    """
    config = run.config
    if not config.idr.judge_gpu_fraction or not config.idr.select or run.done(config.idr.rounds, "critique"):
        return
    if not config.idr.overlap:
        judge.start()
        return
    before = placement.reserved_gpus()
    starting = _start_beside(judge)
    placement.wait_until_reserved(before, resources.judge(config.judge), starting.is_alive)
    if not starting.is_alive():
        starting.result()


def make_way(run: Run, number: int, judge: Judge) -> None:
    """Before a training: whole GPUs for it, or the engines up, each on its share of one."""
    if run.config.idr.judge_gpu_fraction and run.config.idr.select and not run.done(number, "train"):
        judge.start()
    judge.release()


def start_engines(run: Run, number: int, judge: Judge) -> None:
    """Start the judge's engines while a round's products are painted; who asks them first waits for them."""
    config = run.config
    wanted = config.idr.overlap and config.idr.select and not run.done(number, "generate")
    if wanted and room(resources.generate(config.generate), config):
        _start_beside(judge)


@contextmanager
def encoding(run: Run, number: int, data: str) -> Iterator[None]:
    """While S_1 is being found, encode those of its rows that are known; later rounds train on subsets of them."""
    config = run.config
    early = config.idr.keep_fraction is None and not config.judge.cascade.clip  # a row's own score decides, at once
    wanted = config.idr.overlap and early and number == 1 and not run.done(1, "score")
    if not wanted or not room(resources.features(config.features), config):
        yield
        return
    with _following(run, 1, "encode", "scores", lambda: _Encoding(run, data)):
        yield


@contextmanager
def criticising(run: Run, number: int, judge: Judge) -> Iterator[None]:
    """While products are painted, the judge criticises the pictures that are finished."""
    config = run.config
    wanted = config.idr.overlap and config.idr.select and not run.done(number, "generate")
    if not wanted or not judge.keeps_answers or not room(resources.generate(config.generate), config):
        yield
        return
    with _following(run, number, "critique", "generated", lambda: _Criticising(judge)):
        yield


@contextmanager
def _following(run: Run, number: int, step: str, folder: str, begin: Callable[[], Work]) -> Iterator[None]:
    """Work for a step on each file that another writes below the round's folder, on record."""
    waiting = functools.partial(run.attempt.span, "wait", number, step)
    with (
        run.attempt.span("ahead", number, step),
        watch_folder(run.path(number, folder), begin, run.title(number, step), waiting),
    ):
        yield


class _Encoding:
    """Encodes the kept rows of each data file once all of its rows are judged."""

    def __init__(self, run: Run, data: str) -> None:
        from p2i_ray.diffusion.features.prefetch import FeaturePrefetcher

        self._settings = run.config.idr
        self._judged = Judged({file: reading.ids_of(file) for file in reading.split_files(data, "train")})
        self._encoders = FeaturePrefetcher(run.config.diffusion, feature_settings(run), run.config.image)
        self._begun: list[ObjectRef] = []

    def take(self, file: str) -> None:
        folder, _, name = file.rpartition("/")
        scores = parquet.read_parquet(folder, [name], selection.COLUMNS)
        kept = selection.at_gamma(scores, self._settings)
        for whole, rows in self._judged.add(scores["id"].to_pylist(), kept["id"].to_pylist()):
            self._begun.append(self._encoders.encode(whole, rows))

    def finish(self) -> None:
        import ray

        ray.get(self._begun)

    def stop(self) -> None:
        self._encoders.stop()


class _Criticising:
    """Asks about the pictures of each painted file."""

    def __init__(self, judge: Judge) -> None:
        self._ask = judge.critique_early()
        self._begun: list[ObjectRef] = []

    def take(self, file: str) -> None:
        self._begun.append(self._ask(file))

    def finish(self) -> None:
        import ray

        ray.get(self._begun)

    def stop(self) -> None:
        pass


class Judged:
    """Which files of a data set are judged wholly, and which of their rows are kept.

    Args:
        ids: of the rows of each file.
    """

    def __init__(self, ids: dict[str, list[str]]) -> None:
        self._file = {id_: file for file, own in ids.items() for id_ in own}
        self._missing = {file: set(own) for file, own in ids.items()}
        self._kept: dict[str, list[str]] = {file: [] for file in ids}

    def add(self, ids: Sequence[str], kept: Sequence[str]) -> list[tuple[str, list[str]]]:
        """Take in judged rows, and which of them are kept; the files that are whole with them, with their kept rows."""
        for id_ in kept:
            self._kept[self._file[id_]].append(id_)
        whole = []
        for file in dict.fromkeys(self._file[id_] for id_ in ids):
            self._missing[file].difference_update(ids)
            if not self._missing[file]:
                whole.append((file, self._kept[file]))
        return whole


def room(step: StepResources, config: Config) -> bool:
    """Whether the nodes that are there have room for a step beside the judge's engines."""
    return placement.has_room((step, resources.judge(config.judge)))


def _start_beside(judge: Judge) -> Beside[object]:
    """Start engines in a thread; if that fails, whoever needs them starts them again, and then it ends the run."""
    starting: Beside[object] = Beside(judge.start, "engines")
    starting.start()
    return starting
