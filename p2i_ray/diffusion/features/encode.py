"""Kept rows through the frozen encoders, as a Ray Data job; training then never touches a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray import storage
from p2i_ray.config import FeatureConfig, ImageConfig, PainterConfig
from p2i_ray.diffusion import checks
from p2i_ray.sink import Progress, Written, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

ROWS_PER_FILE = 500  # 70 MB at 512 pixels


def encode(
    rows: ray.data.Dataset,
    painter: PainterConfig,
    settings: FeatureConfig,
    image: ImageConfig,
    out: str,
    progress: Progress | None = None,
) -> Written:
    """Encode rows (id, name, image, cutout) and write their features; columns as in schema.py.

    A row whose pictures can't be used is set aside with its reason in `error`.

    Raises:
        UserError: a model folder can't be used.
    """
    import ray.data

    painter, out = checks.anywhere(painter), storage.absolute(out)
    checks.check_model(painter.base, image.resolution)
    checks.check_clip(painter.clip, painter.base)
    encoded = rows.map_batches(
        _Encode,
        fn_constructor_kwargs={"painter": painter, "settings": settings, "image": image},
        compute=ray.data.ActorPoolStrategy(size=settings.workers),
        batch_size=settings.batch_size,
        batch_format="pyarrow",
        num_gpus=settings.num_gpus,
        num_cpus=settings.num_cpus,
    )
    return write_parquet(encoded, out, progress=progress, rows_per_file=ROWS_PER_FILE)


class _Encode:
    """One actor: loads the encoders once."""

    def __init__(self, painter: PainterConfig, settings: FeatureConfig, image: ImageConfig) -> None:
        from p2i_ray.diffusion import folder

        self._encoders = folder.load_encoders(painter, "cuda" if settings.num_gpus else "cpu")
        self._image = image
        self._batch_size = settings.batch_size

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        from p2i_ray.diffusion.features import schema

        rows = batch.select(["id", "name", "image", "cutout"]).to_pylist()
        results = [self._open(row) for row in rows]
        good = [i for i, result in enumerate(results) if not isinstance(result, str)]
        packed = dict(zip(good, self._encode([results[i] for i in good]), strict=True)) if good else {}
        for i, features in packed.items():
            if features is None:
                results[i] = "the encoders give values that are not finite"
        columns: list[dict[str, Any]] = [
            {
                "id": row["id"],
                "name": row["name"],
                **(packed.get(i) or {}),
                "error": result if isinstance(result, str) else None,
            }
            for i, (row, result) in enumerate(zip(rows, results, strict=True))
        ]
        return pa.Table.from_pylist(columns, schema=schema.SCHEMA)

    def _open(self, row: dict[str, Any]) -> Any:
        """A row's picture (H, W, 3) and product mask (H, W), or why it can't be used."""
        from p2i_ray.diffusion.pixels import open_pair
        from p2i_ray.epbd.images import ImageError

        try:
            picture, cutout = ((row[column] or {}).get("bytes") for column in ("image", "cutout"))
            return open_pair(picture, cutout, self._image)
        except ImageError as error:
            return str(error)

    def _encode(self, pairs: list[Any]) -> list[dict[str, Any] | None]:
        """Packed features of each pair; none where they are not finite."""
        from p2i_ray.diffusion.features import schema

        # A kernel's rounding depends on the batch's shape: filled up, a row's features don't depend on its neighbours.
        filled = pairs + [pairs[-1]] * (self._batch_size - len(pairs))
        encoded = self._encoders.encode(np.stack([i for i, _ in filled]), np.stack([m for _, m in filled]))
        channels = [encoded.image_moments.shape[1] // 2, *encoded.image_moments.shape[2:]]
        packed = {name: schema.pack(values[: len(pairs)], name) for name, values in encoded._asdict().items()}
        finite = np.all([np.isfinite(v.reshape(len(filled), -1)).all(axis=1) for v in encoded], axis=0)
        return [
            {"latent_shape": channels, **{name: values[i] for name, values in packed.items()}} if finite[i] else None
            for i in range(len(pairs))
        ]
