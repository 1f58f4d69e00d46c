"""Paint a whole split, as a Ray Data job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from p2i_ray.cluster import placement, resources, root_cause
from p2i_ray.config import GenerateConfig, ImageConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.data.images import Pixels, encode_png
from p2i_ray.diffusion.sampling.painting_method import Finish, PaintingMethod
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.provenance.marks import Marks
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import Progress, Written, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

BATCHES_AT_ONCE = 4  # that an actor takes: where rows have several sizes, most batches are full all the same


def generate(
    rows: ray.data.Dataset,
    model: str,
    out: str,
    *,
    settings: GenerateConfig,
    image: ImageConfig,
    painting: PaintingMethod,
    seed: int,
    finish: Finish | None = None,
    marks: Marks | None = None,
    progress: Progress | None = None,
) -> Written:
    """Paint a background for each row (id, name, category, cutout); writes id, name, category, image, cutout, error.

    A method may read further columns of a row, and may write some.

    An image depends on its row, the model and the seed; not on the rows it is painted together with.

    Args:
        rows: to paint, with `painting.columns`; one that can't be painted is set aside with its reason in `error`.
        model: model folder; of a baseline what it paints with.
        out: location of the folder to write.
        settings: of the sampler.
        image: resolution and limits.
        painting: the method, the token, and whether a plain model is to be widened.
        seed: with a row's id, it gives the row's noise.
        finish: what is done to pictures after the product was pasted (none: nothing); what it did to each is written
            into a further column, `compositing`, as JSON.
        marks: what pictures are marked with, that are handed out (none: they are not marked).
        progress: called with the number of rows just done.

    Raises:
        UserError: the model folder can't be used, or not at this resolution; or the cluster is too small.
    """
    import ray.data

    model, out = locations.absolute(model), locations.absolute(out)
    painting = painting.anywhere()
    painting.check(model, image)
    need = resources.generate(settings)
    placement.wait_for(need)
    painted = rows.map_batches(
        _Paint,
        fn_constructor_kwargs={
            "model": model,
            "settings": settings,
            "image": image,
            "painting": painting,
            "seed": seed,
            "finish": finish,
            "marks": marks,
        },
        compute=ray.data.ActorPoolStrategy(size=need.count),
        batch_size=settings.batch_size * (BATCHES_AT_ONCE if len(image.sizes) > 1 else 1),
        batch_format="pyarrow",
        **need.bundle.actor_options(),
    )
    remedy = f"lower generate.batch_size={settings.batch_size}"
    if settings.dtype == "fp32":
        remedy += ", or set generate.dtype=bf16"
    with root_cause.failures_explained("generation", remedy):
        return write_parquet(painted, out, progress=progress, rows_per_file=max(64, settings.batch_size))


class _Paint:
    """One actor: loads the model once."""

    def __init__(
        self,
        *,
        model: str,
        settings: GenerateConfig,
        image: ImageConfig,
        painting: PaintingMethod,
        seed: int,
        finish: Finish | None = None,
        marks: Marks | None = None,
    ) -> None:
        from p2i_ray.diffusion.sampling.sampler import SamplerOptions

        device = "cuda" if settings.num_gpus else "cpu"
        options = SamplerOptions(dtype=settings.dtype, device=device, fill_to=settings.batch_size)
        self._painting, self._method = painting, painting.load(model, options)
        self._settings = settings
        self._image = image
        self._seed = seed
        self._finish = finish
        self._marker = marks.marker() if marks else None

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        kept = ["id", "name", "category", "cutout"]
        given = batch.select(list(dict.fromkeys([*kept, *self._painting.columns]))).to_pylist()
        opened = [self._open(row) for row in given]
        rows = [{name: row[name] for name in kept} for row in given]
        images: dict[int, Any] = {}
        for alike in self._alike(opened):
            images |= zip(alike, self._method.paint([opened[i] for i in alike]), strict=True)
        columns = [
            {**row, **self._written(row["id"], images[i], opened[i]), **self._painting.notes(row)}
            if i in images
            else {**row, "image": None, "error": opened[i]}
            for i, row in enumerate(rows)
        ]
        finished = self._finish is not None
        return pa.Table.from_pylist(columns, schema=schema(finished=finished, further=self._painting.written))

    def _written(self, id_: str, pixels: Pixels, request: PaintRequest) -> dict[str, Any]:
        """The columns of a painted row that are not its own."""
        if self._finish is None:
            return {"image": self._struct(id_, pixels, request.seed)}
        pixels, done = self._finish(pixels, request.product, request.pasted_mask())
        return {"image": self._struct(id_, pixels, request.seed), "compositing": json.dumps(done.as_fields())}

    def _struct(self, id_: str, pixels: Pixels, seed: int) -> dict[str, Any]:
        """A Hugging Face image struct."""
        png = encode_png(pixels) if self._marker is None else self._marker.encode(pixels, "png", seed=seed)
        return {"bytes": png, "path": f"{id_}.png"}

    def _alike(self, opened: list[Any]) -> Iterator[list[int]]:
        """The places of requests in parts of one size that the sampler takes at once."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, found in enumerate(opened):
            if isinstance(found, PaintRequest):
                by_size.setdefault(found.mask.shape, []).append(place)
        for places in by_size.values():
            for start in range(0, len(places), self._settings.batch_size):
                yield places[start : start + self._settings.batch_size]

    def _open(self, row: dict[str, Any]) -> Any:
        """A row's request, or why it can't be painted."""
        from p2i_ray.data.images import ImageError, decode, encoded, product_mask
        from p2i_ray.diffusion.model.preprocess import fit

        try:
            if not row["name"].strip():
                raise ImageError("the product has no name")
            cutout = fit(decode(encoded(row["cutout"]), self._image), self._image)
            plain = PaintRequest(
                name=row["name"],
                product=np.asarray(cutout.convert("RGB")),
                mask=product_mask(cutout),
                seed=seed_for(self._seed, "generate", row["id"]),
                steps=self._settings.num_inference_steps,
                guidance=self._settings.guidance_scale,
                soft_edge=self._settings.soft_edge,
                paste_product=self._settings.paste_product,
            )
            return self._painting.request(plain, row, self._image)
        except ImageError as error:
            return str(error)


def schema(*, finished: bool = False, further: Sequence[str] = ()) -> pa.Schema:
    """The columns of a file of painted rows.

    Args:
        finished: with what was done to each after painting.
        further: columns that the method writes.
    """
    import pyarrow as pa

    from p2i_ray.data.schema import IMAGE

    return pa.schema(
        [
            ("id", pa.string()),
            ("name", pa.string()),
            ("category", pa.string()),
            ("image", IMAGE),  # PNG; null where the row was set aside
            ("cutout", IMAGE),
            ("error", pa.string()),
            *([("compositing", pa.string())] if finished else []),
            *((name, pa.string()) for name in further),
        ]
    )
