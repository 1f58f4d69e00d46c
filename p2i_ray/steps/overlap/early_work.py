"""Early work with files: rows that will be kept are encoded, finished images are criticised.

What is computed lies in caches under its content, where the step itself looks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2i_ray.data import reading
from p2i_ray.judge.judge import Judge
from p2i_ray.run.folder import Run
from p2i_ray.steps import selection
from p2i_ray.steps.encode import feature_settings
from p2i_ray.storage import parquet

if TYPE_CHECKING:
    from ray import ObjectRef


class EarlyEncoding:
    """Encodes the rows of each data file that are kept, once all of its rows are scored.

    Args:
        run: its settings decide at once, by a row's own score, whether it is kept.
        data: EPBD folder.
    """

    def __init__(self, run: Run, data: str) -> None:
        from p2i_ray.diffusion.features.prefetch import FeaturePrefetcher

        config = run.config
        self._settings = config.idr
        self._scored = ScoredFiles({file: reading.ids_of(file) for file in reading.split_files(data, "train")})
        self._encoders = FeaturePrefetcher(config.diffusion, feature_settings(run), config.image)
        self._begun: list[ObjectRef[int]] = []

    def take(self, file: str) -> None:
        """Begin with the data files that are scored whole with this file of scores."""
        folder, _, name = file.rpartition("/")
        scores = parquet.read_parquet(folder, [name], selection.COLUMNS)
        kept = selection.at_gamma(scores, self._settings)
        for whole, rows in self._scored.add(scores["id"].to_pylist(), kept["id"].to_pylist()):
            self._begun.append(self._encoders.encode(whole, rows))

    def finish(self) -> None:
        """Wait until all is encoded."""
        import ray

        ray.get(self._begun)

    def stop(self) -> None:
        """Free what the encoders hold."""
        self._encoders.stop()


class EarlyCritique:
    """Has the judge criticise the images of each painted file.

    Args:
        judge: it has a cache.
    """

    def __init__(self, judge: Judge) -> None:
        self._critique = judge.critique_early()
        self._begun: list[ObjectRef[int]] = []

    def take(self, file: str) -> None:
        """Begin with a painted file."""
        self._begun.append(self._critique(file))

    def finish(self) -> None:
        """Wait until all is criticised."""
        import ray

        ray.get(self._begun)

    def stop(self) -> None:
        """Nothing is held."""


class ScoredFiles:
    """Files of a data set that are scored whole, and those of their rows that are kept.

    Args:
        ids: of the rows of each file.
    """

    def __init__(self, ids: dict[str, list[str]]) -> None:
        self._file = {id_: file for file, own in ids.items() for id_ in own}
        self._missing = {file: set(own) for file, own in ids.items()}
        self._kept: dict[str, list[str]] = {file: [] for file in ids}

    def add(self, ids: Sequence[str], kept: Sequence[str]) -> list[tuple[str, list[str]]]:
        """Take in scored rows, and which of them are kept; the files that are whole with them, with their kept rows."""
        for id_ in kept:
            self._kept[self._file[id_]].append(id_)
        whole = []
        for file in dict.fromkeys(self._file[id_] for id_ in ids):
            self._missing[file].difference_update(ids)
            if not self._missing[file]:
                whole.append((file, self._kept[file]))
        return whole
