"""Measure a folder of generated pictures by the metrics of the catalogue, in one pass over each side.

One Ray task, with the resources of the settings, reads both sides batch by batch and keeps running sums, or of some
metrics the pictures' features; the driver sees a few numbers. Rows with an error, and pictures that can't be read, are
left out and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from p2i_ray.cluster import placement, resources, root_cause
from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.config.shapes import SQUARE
from p2i_ray.data import reading
from p2i_ray.data.images import Pixels
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue, inception, picture_values
from p2i_ray.evaluate.catalogue import known as known
from p2i_ray.evaluate.metrics.batch import Batch
from p2i_ray.evaluate.metrics.category_distance import CategoryDistance
from p2i_ray.evaluate.metrics.metric import MeanOfValues, TwoSides
from p2i_ray.evaluate.picture_values import GENERATED, REAL, Side
from p2i_ray.evaluate.preprocess import generated_images, real_images, real_picture
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

FEWEST = 2  # pictures a side from which FID is defined
METRICS = catalogue.LOOP

log = logging.getLogger(__name__)


def measure(
    generated: str,
    files: list[str],
    reference: ray.data.Dataset,
    *,
    settings: EvaluateConfig,
    image: ImageConfig,
    metrics: Sequence[str] = METRICS,
    values: str | None = None,
) -> dict[str, float]:
    """Measure generated pictures.

    Args:
        generated: folder of Parquet files with id, image, cutout and error, as diffusion.sampling.generate writes them.
        files: the names of those that a manifest lists.
        reference: rows (image, cutout): the real pictures that FID and others compare with, and where their products
            are.
        settings: of the evaluation.
        image: limits of decoding, and the resolution to which all pictures are resized.
        metrics: names from `catalogue.NEEDS`; the judge's are left to the caller.
        values: location of the folder into which the values of single pictures and the features of both sides are
            written, as picture_values has them; then both sides have a column `id`, too (none: they are not written).

    Returns:
        The metrics, those besides `METRICS` with their intervals, and: `images` measured, `left_out` (generated rows
        with an error); with FID also `fid_images`, the number of pictures on its smaller side, and `fid_features`:
        with no more pictures than features the distance is biased upwards. Where metrics compare with real pictures,
        `real_images` and `real_left_out`, those that can't be read. Where pictures had another size than
        image.resolution and image.aspect_ratios give, `resized`.

    Raises:
        UserError: an unknown metric, a model that isn't there, no pictures, or a cluster too small.
    """
    import ray

    metrics = known(metrics)
    inception.check(settings, metrics)
    if not files:
        raise UserError(f"{generated} has no generated pictures to measure")
    need = resources.evaluate(settings)
    placement.wait_for(need)
    settings = catalogue.anywhere(settings)
    ids = ["id"] if values else []
    needed = dict.fromkeys(column for one in metrics for column in catalogue.NEEDS[one].columns)
    columns = [*ids, "image", "cutout", "error", *needed]
    rows = reading.read_files(generated, files).select_columns(columns)
    closer = real_columns(metrics, (reference.columns() or []) if _looks_closer(metrics) else [])
    compared = any(catalogue.NEEDS[one].real for one in metrics)
    real = ["image"] if image.aspect_ratios == (SQUARE,) else ["image", "cutout"]
    real = list(dict.fromkeys([*ids, *real, *closer]))
    sides = {"generated": rows, **({"real": reference.select_columns(real)} if compared else {})}
    task = ray.remote(**need.bundle.options())(_measure_sides)
    try:
        with root_cause.failures_explained("the evaluation", f"lower evaluate.batch_size={settings.batch_size}"):
            figures: dict[str, float] = ray.get(
                task.remote(sides, settings, image, (metrics, locations.absolute(values) if values else None))
            )
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    if resized := figures.get("resized"):
        log.warning(
            "%d of %d generated pictures have another size than image.resolution=%d gives, and were resized",
            *(resized, figures["images"], image.resolution),
        )
    for name, called in (("fid", "FID"), ("fid_clean", "fid_clean"), ("fd_dinov2", "fd_dinov2")):
        pictures = figures.get("fid_images", min(figures["images"], figures.get("real_images", 0)))
        if pictures <= (features := figures.get(f"{name}_features", -1)):
            log.warning("%s of %d pictures with %d features is biased upwards", called, pictures, features)
    return figures


def check(settings: EvaluateConfig, metrics: Sequence[str], split: str, pictures: int) -> None:
    """Find out before anything is generated whether it can be measured.

    Args:
        settings: of the evaluation.
        metrics: as of `measure`.
        split: name of the split whose products are painted and whose pictures they are compared with.
        pictures: its rows with a scene.

    Raises:
        UserError: the files of a model are not there, or there are too few pictures for a metric.
    """
    clip = locations.absolute(settings.clip)
    if not locations.exists(locations.join(clip, "config.json")):
        raise UserError(f"evaluate.clip={clip} is no transformers CLIP folder (no config.json); check the path")
    weight_files.find(clip, weight_files.TRANSFORMERS, setting="evaluate.clip").tensors()
    catalogue.check(settings, metrics, split, pictures)


def _looks_closer(metrics: Sequence[str]) -> bool:
    """Whether a metric looks at more of a real row than its picture."""
    return any(catalogue.NEEDS[name].real_columns for name in metrics)


def real_columns(metrics: Sequence[str], there: Sequence[str]) -> list[str]:
    """Columns of the split that metrics look at besides its pictures; a reference may come without a cutout.

    Args:
        metrics: names from `catalogue.NEEDS`.
        there: the split's columns.
    """
    needed = dict.fromkeys(column for one in metrics for column in catalogue.NEEDS[one].real_columns)
    return [column for column in needed if column in there]


def _measure_sides(
    sides: dict[str, ray.data.Dataset],
    settings: EvaluateConfig,
    image: ImageConfig,
    wanted: tuple[Sequence[str], str | None],
) -> dict[str, float]:
    """The body of the Ray task; wanted are the metrics, and where each picture's values are written, if they are."""
    metrics, values = wanted
    running = MetricSet(settings, image, metrics, "cuda" if settings.num_gpus else "cpu")
    if "real" in sides:
        for batch in _batches(sides["real"], settings.batch_size):
            running.add_real(batch)
    for batch in _batches(sides["generated"], settings.batch_size):
        running.add_generated(batch)
    figures = running.figures()
    if values:
        running.write_values(values)
    return figures


def _batches(rows: ray.data.Dataset, size: int) -> Iterator[pa.Table]:
    for batch in rows.iter_batches(batch_size=size, batch_format="pyarrow"):
        yield cast("pa.Table", batch)


class MetricSet:
    """The running sums of the metrics, without Ray."""

    def __init__(
        self, settings: EvaluateConfig, image: ImageConfig, metrics: Sequence[str], device: str = "cpu"
    ) -> None:
        from p2i_ray.evaluate.metrics.clip_encoder import ClipEncoder
        from p2i_ray.evaluate.metrics.clip_scores import ClipScore
        from p2i_ray.evaluate.metrics.fid import clip_fid, inception_fid

        self.image, self.fill = image, settings.fill
        self.images = self.real_images = self.left_out = self.real_left_out = self.resized = 0
        self.reason = ""  # why the first row that has an error could not be painted
        models = catalogue.Models(settings, device)
        self.others = {name: catalogue.make(name, models) for name in metrics if name not in METRICS}
        self.looks_closer = _looks_closer(metrics)
        self.reals = {name: one for name, one in self.others.items() if catalogue.NEEDS[name].real}
        self.ids: dict[str, list[str]] = {GENERATED: [], REAL: []}  # of the pictures that are measured, as they come
        self.scores = {name: ClipScore() for name in ("clip_c_i", "clip_c_b") if name in metrics}
        self.encoder = ClipEncoder(settings.clip).to(device)
        self.fid = None
        if "fid" in metrics:
            clip = settings.fid_features == "clip"
            fid, self.prepare = clip_fid(self.encoder) if clip else inception_fid(inception.weights())
            self.fid = fid.to(device)

    def add_real(self, batch: pa.Table) -> None:
        """Add real rows, with a column `image`, and `cutout` where pictures have several shapes."""
        rows = batch.to_pylist()
        read = [real_picture(row, self.image) for row in rows]
        more = [real_images(row, self.image, self.fill) if self.looks_closer else None for row in rows]
        if self.looks_closer:  # what can't be read is of no use to any metric; a row may have a reference alone
            there = [images is not None and images.background is not None for images in more]
            read = [picture if one else None for picture, one in zip(read, there, strict=True)]
            pairs = zip(read, more, there, strict=True)
            more = [None if one and picture is None else images for picture, images, one in pairs]
        pictures = [picture for picture in read if picture is not None]
        self.ids[REAL] += [row.get("id") or "" for row, one in zip(rows, read, strict=True) if one is not None]
        self.real_images += len(pictures)
        self.real_left_out += len(read) - len(pictures)
        self._update_fid(pictures, real=True)
        shared = Batch(pictures, self.encoder.embed, real=[images for images in more if images is not None])
        for name, metric in self.reals.items():
            if pictures or not catalogue.NEEDS[name].scenes:
                metric.add_real(shared)

    def add_generated(self, batch: pa.Table) -> None:
        """Add generated rows, with the columns `image`, `cutout` and `error`, and those that a metric needs."""
        given = batch.to_pylist()
        read = [generated_images(row, self.image, self.fill) for row in given]
        rows = [row for row in read if row is not None]
        self.reason = self.reason or next((row["error"] for row in given if row["error"]), "")
        self.images += len(rows)
        self.left_out += len(read) - len(rows)
        self.resized += sum(row.resized for row in rows)
        self.ids[GENERATED] += [row.id for row in rows]
        self._update_fid([row.picture for row in rows], real=False)
        shared = Batch([row.picture for row in rows], self.encoder.embed, rows)
        for one in self.others.values() if rows else ():
            one.add_generated(shared)
        for name, score in self.scores.items() if rows else ():
            compared = shared.embedded if name == "clip_c_i" else shared.embedded_backgrounds
            score.update(compared, shared.embedded_products)

    def figures(self) -> dict[str, float]:
        """The metrics of all rows so far, as `measure` returns them."""
        if not self.images:
            first = f"; the first says: {self.reason}" if self.reason else ", or a picture that can't be read"
            raise UserError(f"there is no picture to measure: all {self.left_out} generated rows have an error{first}")
        found: dict[str, float] = {}
        if self.fid is not None:
            count = min(self.images, self.real_images)
            if count < FEWEST:
                sides = f"{self.images} generated and {self.real_images} real"
                raise UserError(f"FID needs two pictures a side; there are {sides}")
            found |= {"fid": float(self.fid.compute()), "fid_images": count}
            found["fid_features"] = self.fid.real_features_sum.numel()
        found |= {name: score.compute() for name, score in self.scores.items()}
        for one in self.others.values():
            found |= one.figures()
        found |= {"images": self.images, "left_out": self.left_out}
        if self.reals or self.fid is not None:
            found |= {"real_images": self.real_images, "real_left_out": self.real_left_out}
        return found | ({"resized": self.resized} if self.resized else {})

    def write_values(self, out: str) -> None:
        """Write the values and features of all rows so far into a folder; see picture_values."""
        values = {name: score.values for name, score in self.scores.items()}
        values |= {name: one.values for name, one in self.others.items() if isinstance(one, MeanOfValues)}
        features = {
            name: {
                side: Side(self.ids[side], found) for side, found in zip((GENERATED, REAL), one.features, strict=True)
            }
            for name, one in self.others.items()
            if isinstance(one, TwoSides | CategoryDistance)
        }
        picture_values.write(out, self.ids[GENERATED], values, features)

    def _update_fid(self, pictures: list[Pixels], real: bool) -> None:
        if self.fid is not None and pictures:
            self.fid.update(self.prepare(pictures).to(self.fid.device), real=real)
