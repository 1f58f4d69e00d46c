"""Encode rows before they are needed: into the shards, where `encode` finds them.

A row's features are the same wherever they are computed, so nothing that follows depends on how far this got.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import resources
from p2i_ray.config import DiffusionConfig, FeatureConfig, ImageConfig
from p2i_ray.data import reading
from p2i_ray.diffusion.features.encode import ROWS_LOOKED_UP, Encode, add_shard, look_up
from p2i_ray.diffusion.model import validation
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from ray import ObjectRef


class FeaturePrefetcher:
    """Actors, features.num_workers of them, that take the rows of a file in turn; they end with this object.

    Args:
        diffusion: its VAE and CLIP are the encoders.
        settings: of the encoders; they must have a cache.
        image: resolution and limits.

    Raises:
        UserError: a model folder can't be used.
    """

    def __init__(self, diffusion: DiffusionConfig, settings: FeatureConfig, image: ImageConfig) -> None:
        import ray

        from p2i_ray.diffusion.features import shards

        assert settings.cache, "features that are not kept would be computed for nothing"
        diffusion = validation.anywhere(diffusion)
        folder = shards.open_shards(locations.absolute(settings.cache), diffusion, image.resolution)
        actor = ray.remote(**resources.features(settings).bundle.options())(_Encoder)
        self._actors: list[Any] = [
            actor.remote(diffusion, settings, image, folder) for _ in range(settings.num_workers)
        ]
        self._next = itertools.cycle(self._actors)

    def encode(self, file: str, ids: Sequence[str]) -> ObjectRef[int]:
        """Encode these rows of a Parquet file of EPBD; returns at once. The result is their number."""
        begun: ObjectRef[int] = next(self._next).encode.remote(file, list(ids))
        return begun

    def stop(self) -> None:
        """Free what the actors hold."""
        import ray

        for actor in self._actors:
            ray.kill(actor)


class _Encoder:
    """One actor."""

    def __init__(self, diffusion: DiffusionConfig, settings: FeatureConfig, image: ImageConfig, folder: str) -> None:
        from p2i_ray.diffusion.features import shards

        self._known, self._image, self._folder = shards.KnownShards(folder), image, folder
        self._encode = Encode(diffusion, settings)

    def encode(self, file: str, ids: list[str]) -> int:
        """See `FeaturePrefetcher.encode`."""
        encoded = 0
        for rows in reading.rows_of(file, ids, ["id", "name", "image", "cutout"], ROWS_LOOKED_UP):
            index = add_shard(self._encode(look_up(rows, self._known, self._image)), self._folder)
            encoded += sum(index["encoded"].to_pylist())
        return encoded
