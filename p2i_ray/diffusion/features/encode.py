"""Encode rows by the frozen encoders, as a Ray Data job; training then never touches an image.

Look up each row by its images' content; open and encode those whose features no shard has; write new shards; write
the index, which says where each row's features are. A task that is done again writes another shard, and index rows
that name that one: what the lost attempt wrote is whole and may be found by later jobs, but nobody needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.cluster import placement, resources, root_cause
from p2i_ray.cluster.resources import LOOK_UP, WRITE
from p2i_ray.config import DiffusionConfig, FeatureConfig, ImageConfig
from p2i_ray.config.shapes import SQUARE, Size
from p2i_ray.diffusion.model import training_checks, validation
from p2i_ray.storage import content_cache, locations
from p2i_ray.storage.parquet import Progress, Written, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data
    from ray import ObjectRef

    from p2i_ray.diffusion.features.encoders import Encoders
    from p2i_ray.diffusion.features.shards import KnownShards

ROWS_PER_SHARD = 500  # 70 MB at 512 pixels
ROWS_LOOKED_UP = 64  # by one task at once
BATCHES_AT_ONCE = 8  # that an encoder takes: where few rows are new, they still fill batches


def encode(
    rows: ray.data.Dataset,
    out: str,
    *,
    diffusion: DiffusionConfig,
    settings: FeatureConfig,
    image: ImageConfig,
    pictures: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Encode rows (id, name, image, cutout) whose features are not in the cache yet, and write an index of all.

    A row whose images can't be used is set aside with its reason in `error`, and tried anew by the next call.

    Args:
        rows: to encode.
        out: location of the folder of the index; columns as in schema.columns.
        diffusion: its VAE and CLIP are the encoders.
        settings: of the encoders; without a cache, the shards lie in `shards` within `out`.
        image: resolution and limits.
        pictures: also keep pixels and masks, and the rows' categories (another column), for generators.
        progress: called with the number of rows just done.

    Returns:
        The index's files, with the facts {"shards": location of their folder, "encoded", "reused": rows}.

    Raises:
        UserError: a model folder can't be used, a shard in the cache can't be read, or the cluster is too small.
    """
    import ray.data

    from p2i_ray.diffusion.features import schema, shards

    diffusion, out = validation.anywhere(diffusion), locations.absolute(out)
    validation.check_model(diffusion.base, image, diffusion.widen)
    training_checks.check_clip(diffusion.clip, diffusion.base)
    cache = locations.absolute(settings.cache) if settings.cache else locations.join(out, "shards")
    folder = shards.open_shards(cache, diffusion, image.resolution, pictures=pictures)
    need = resources.features(settings)
    placement.wait_for(need)
    index = (
        rows.map_batches(
            _look_up_shared,  # type: ignore[arg-type]  # pyarrow has no types
            fn_kwargs={"known": ray.put(shards.KnownShards(folder)), "image": image, "pictures": pictures},
            batch_size=ROWS_LOOKED_UP,
            batch_format="pyarrow",
            **LOOK_UP.task_options(),
        )
        .map_batches(
            Encode,
            fn_constructor_kwargs={"diffusion": diffusion, "settings": settings, "pictures": pictures},
            compute=ray.data.ActorPoolStrategy(size=need.count),
            batch_size=settings.batch_size * BATCHES_AT_ONCE,
            batch_format="pyarrow",
            **need.bundle.actor_options(),
        )
        .map_batches(
            add_shard,  # type: ignore[arg-type]  # pyarrow has no types
            fn_kwargs={"folder": folder, "pictures": pictures},
            batch_size=ROWS_PER_SHARD,
            batch_format="pyarrow",
            **WRITE.task_options(),
        )
    )
    with root_cause.failures_explained("encoding", f"lower features.batch_size={settings.batch_size}"):
        written = write_parquet(
            index,
            out,
            schema.columns(pictures=pictures).index,
            progress,
            rows_per_file=ROWS_PER_SHARD,
            tally=("encoded", "reused"),
        )
    return written._replace(facts={"shards": folder, **written.facts})


def _look_up_shared(batch: pa.Table, known: ObjectRef[KnownShards], image: ImageConfig, pictures: bool) -> pa.Table:
    import ray

    return look_up(batch, ray.get(known), image, pictures=pictures)


def look_up(batch: pa.Table, known: KnownShards, image: ImageConfig, *, pictures: bool = False) -> pa.Table:
    """Rows with the name of their shard, or with their images at the encoders' resolution, or with an error."""
    import pyarrow as pa

    from p2i_ray.data.images import ImageError, check_size, encoded, has_picture
    from p2i_ray.diffusion.features import schema
    from p2i_ray.diffusion.model.preprocess import open_pair, size_of

    rows = batch.select(["id", "name", "image", "cutout", *(["category"] if pictures else [])]).to_pylist()
    pairs = [(_bytes(row["image"]), _bytes(row["cutout"])) for row in rows]
    keys = [key_of(*pair, image) for pair in pairs]
    found: list[dict[str, Any]] = []
    for row, pair, key, shard in zip(rows, pairs, keys, known.find(keys), strict=True):
        result: dict[str, Any] = {"id": row["id"], "name": row["name"], "key": key, "category": row.get("category")}
        try:
            if not has_picture(row["image"]):
                raise ImageError("no scene: the row is a cutout alone, which is painted and tested, not trained on")
            if not row["name"].strip():
                raise ImageError("the product has no name")
            encoded(row["image"]), encoded(row["cutout"])  # which may be paths alone
            if shard:
                for content in pair:  # the limits may be tighter than when it was encoded
                    check_size(content, image)
                result |= {"shard": shard, "size": str(size_of(*_upright(pair[0], image), image))}
            else:
                pixels, mask = open_pair(*pair, image)
                size = Size(mask.shape[1], mask.shape[0])
                result |= {"size": str(size), "pixels": pixels.tobytes(), "mask_pixels": mask.tobytes()}
        except ImageError as error:
            result["error"] = str(error)
        found.append(result)
    return pa.Table.from_pylist(found, schema=schema.columns(pictures=pictures).looked_up)


def key_of(picture: bytes, cutout: bytes, image: ImageConfig) -> bytes:
    """The key of a row's features: its two images, and where they are not square the size that they are brought to."""
    from p2i_ray.data.images import ImageError

    parts = [picture, cutout]
    if image.aspect_ratios != (SQUARE,):
        try:
            width, height = _upright(picture, image)
        except ImageError:  # the row is set aside when it is opened
            return content_cache.key_of(*parts)
        if width != height:
            parts.append(f"{image.size_of(width, height)}, CLIP at the product".encode())
    return content_cache.key_of(*parts)


def _upright(picture: bytes, image: ImageConfig) -> tuple[int, int]:
    """Width and height of a picture, which may be stored turned, by its header where that is enough."""
    from p2i_ray.data.images import check_size, upright_size

    width, height = check_size(picture, image)
    turned = width != height and image.size_of(height, width)
    return upright_size(picture, image) if turned else (width, height)


def _bytes(encoded: dict[str, Any] | None) -> bytes:
    return (encoded or {}).get("bytes") or b""


class Encode:
    """One actor; it loads the encoders when the first row needs them."""

    def __init__(self, diffusion: DiffusionConfig, settings: FeatureConfig, *, pictures: bool = False) -> None:
        self._diffusion = diffusion
        self._settings = settings
        self._pictures = pictures
        self._encoders: Encoders | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The rows, those with images encoded."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from p2i_ray.diffusion.features import schema

        columns = schema.columns(pictures=self._pictures)
        rows = batch.select(columns.index.names).to_pylist()
        new = pc.indices_nonzero(pc.is_valid(batch["pixels"])).to_pylist()
        by_size: dict[str, list[int]] = {}
        for number in new:
            by_size.setdefault(rows[number]["size"], []).append(number)
        for size, alike in by_size.items():
            for start in range(0, len(alike), self._settings.batch_size):
                numbers = alike[start : start + self._settings.batch_size]
                for number, features in zip(numbers, self._encode(batch.take(numbers), size), strict=True):
                    rows[number] |= features or {"error": "the encoders give values that are not finite"}
        return pa.Table.from_pylist(rows, schema=columns.encoded)

    def _encode(self, rows: pa.Table, size: str) -> list[dict[str, Any] | None]:
        """Packed features of at most a batch of rows of one size; none where they are not finite."""
        from p2i_ray.data.images import encode_png
        from p2i_ray.diffusion.features import schema
        from p2i_ray.diffusion.features.encoders import load_encoders

        if self._encoders is None:
            self._encoders = load_encoders(self._diffusion, "cuda" if self._settings.num_gpus else "cpu")
        # A kernel's rounding depends on the batch's shape: filled up, a row's features don't depend on its neighbours.
        filled = [min(i, rows.num_rows - 1) for i in range(self._settings.batch_size)]
        images, masks = (
            np.stack([np.frombuffer(value.as_buffer(), np.uint8) for value in rows[column]])[filled]
            for column in ("pixels", "mask_pixels")
        )
        width, height = map(int, size.split("x"))
        images, masks = images.reshape(-1, height, width, 3), masks.reshape(-1, height, width)
        encoded = self._encoders.encode(images, masks)
        arrays = {name: schema.narrow(values, name) for name, values in encoded._asdict().items()}
        latent = [encoded.image_moments.shape[1] // 2, *encoded.image_moments.shape[2:]]
        packed: list[dict[str, Any] | None] = []
        for i in range(rows.num_rows):
            row = {name: values[i] for name, values in arrays.items()}
            finite = all(np.isfinite(values).all() for values in row.values())
            kept = {name: values.tobytes() for name, values in row.items()}
            if self._pictures:
                kept |= {"picture": encode_png(images[i]), "product": encode_png(masks[i])}
            packed.append({"latent_shape": latent, **kept} if finite else None)
        return packed


def add_shard(batch: pa.Table, folder: str, *, pictures: bool = False) -> pa.Table:
    """Index rows, after those that came with features are in a new shard."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from p2i_ray.diffusion.features import schema, shards

    columns = schema.columns(pictures=pictures)
    reused, encoded = pc.is_valid(batch["shard"]), pc.is_valid(batch["image_moments"])
    new = batch.filter(encoded).select(columns.shard.names)
    shard = shards.add(folder, new.cast(columns.shard)) if new.num_rows else None
    shards_of = pc.if_else(encoded, pa.scalar(shard, pa.string()), batch["shard"].cast(pa.string()))
    index = batch.select(columns.index.names).drop_columns(["shard"])
    return index.append_column("shard", shards_of).append_column("encoded", encoded).append_column("reused", reused)
