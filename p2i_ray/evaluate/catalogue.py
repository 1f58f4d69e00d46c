"""The metrics by name: what each needs, and how it is made. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.config import EvaluateConfig
from p2i_ray.data.schema import REFERENCES
from p2i_ray.errors import UserError
from p2i_ray.evaluate import inception, scorers
from p2i_ray.evaluate.metrics import scenes
from p2i_ray.storage import locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from p2i_ray.data.cutouts.cutter import Cutter
    from p2i_ray.data.cutouts.settings import CutterConfig
    from p2i_ray.evaluate.metrics.batch import Batch, Embed
    from p2i_ray.evaluate.metrics.metric import Compare, Metric
    from p2i_ray.evaluate.metrics.text_image import TextImageModel

LOOP: tuple[str, ...] = ("fid", "clip_c_i", "clip_c_b")  # what a run measures after each round
PATHS = ("clip", "cutter", "dinov2", "pickscore", "hpsv2", "aesthetics", "aesthetics_clip", "scenes")  # settings


class Need(NamedTuple):
    """A metric's needs."""

    fewest: int  # pictures, on each side that it looks at
    real: bool = False  # it compares with the split's own pictures
    columns: tuple[str, ...] = ()  # of a generated row that it looks at, besides the pictures
    setting: str | None = None  # of evaluate, which names its model, or file of scenes
    judge: bool = False  # it is the judge's answer, which the job asks for
    real_columns: tuple[str, ...] = ()  # of a row of the split that it looks at, besides its picture
    scenes: bool = True  # where it is `real`: it looks at rows with a picture of their own alone


NEEDS: dict[str, Need] = {
    "fid": Need(2, real=True),
    "clip_c_i": Need(1),
    "clip_c_b": Need(1),
    "kid": Need(10, real=True),
    "cmmd": Need(10, real=True),
    "fid_clean": Need(2, real=True),
    "fd_dinov2": Need(2, real=True, setting="dinov2"),
    "pickscore": Need(2, columns=("name",), setting="pickscore"),
    "hpsv2": Need(2, columns=("name",), setting="hpsv2"),
    "aesthetics": Need(2, setting="aesthetics"),
    "diversity": Need(10),
    "category_compactness": Need(10, columns=("category",)),
    "category_distance": Need(2, real=True, columns=("category",), real_columns=("cutout", "category")),
    "background_similarity": Need(2, real=True, real_columns=("id", "cutout")),
    "reference_similarity": Need(2, real=True, real_columns=("id", "cutout", *REFERENCES.names), scenes=False),
    "product_unchanged": Need(2),
    "product_colour": Need(2),
    "product_expansion": Need(2),
    "seam_contrast": Need(2),
    "scene_fit": Need(2, columns=("category",), setting="scenes"),
    "available_rate": Need(2, judge=True),
    "vqa_score": Need(2, judge=True),
}


def known(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics if all of them exist.

    Raises:
        UserError: there is none, or one that is not in `NEEDS`.
    """
    unknown = [name for name in metrics if name not in NEEDS]
    if unknown or not metrics:
        wrong = f"unknown metric {unknown[0]!r}" if unknown else "no metric is asked for"
        raise UserError(f"{wrong}; there are {', '.join(NEEDS)}")
    return tuple(dict.fromkeys(metrics))


def check(settings: EvaluateConfig, metrics: Sequence[str], split: str, pictures: int) -> None:
    """Find out before anything is generated whether the metrics have what they need.

    Args:
        settings: of the evaluation.
        metrics: names from `NEEDS`.
        split: whose products are painted and whose pictures they are compared with.
        pictures: its rows with a scene.

    Raises:
        UserError: a file isn't there, or there are too few pictures.
    """
    inception.check(settings, metrics)
    for name in metrics:
        setting = NEEDS[name].setting
        if setting and getattr(settings, setting) is None:
            what = "a file of scenes" if setting == "scenes" else "a model"
            raise UserError(f"{name} needs {what}: set evaluate.{setting}, or leave {name} out of the metrics")
    scorers.check(anywhere(settings), metrics)
    if "product_expansion" in metrics:
        from p2i_ray.data.cutouts import loading

        loading.check(cutter(settings))
    for name in metrics:
        if NEEDS[name].real and NEEDS[name].scenes and pictures < NEEDS[name].fewest:
            called = "FID" if name == "fid" else name
            raise UserError(
                f"{called} needs {NEEDS[name].fewest} pictures a side, and {split} has {pictures} scenes; "
                f"give a larger split, or, in an evaluation, leave {name} out of the metrics"
            )


def check_painted(metrics: Sequence[str], split: str, rows: int, categories: Sequence[str]) -> None:
    """Find out before anything is generated whether metrics of generated pictures alone have enough of them.

    Args:
        metrics: names from `NEEDS`.
        split: whose products are painted.
        rows: its rows; no more pictures can come of them.
        categories: of its rows, each once.

    Raises:
        UserError: there are too few rows, or one category where several are compared.
    """
    for name in metrics:
        if rows < NEEDS[name].fewest:
            raise UserError(
                f"{name} needs {NEEDS[name].fewest} pictures, and {split} has {rows} rows; give a larger split, "
                f"or leave {name} out of the metrics"
            )
    if "category_compactness" in metrics and len(categories) < 2:
        raise UserError(
            f"category_compactness compares categories, and all rows of {split} are of {categories[0]!r}; leave it out "
            "of the metrics"
        )


def anywhere(settings: EvaluateConfig) -> EvaluateConfig:
    """The same with its paths made absolute: workers have other working directories."""
    given = {name: value for name in PATHS if (value := getattr(settings, name)) is not None}
    return settings.model_copy(update={name: locations.absolute(value) for name, value in given.items()})


class Models:
    """The models of metrics, each loaded when the first metric asks for it.

    Args:
        settings: of the evaluation; paths are absolute.
        device: where they compute.
    """

    def __init__(self, settings: EvaluateConfig, device: str) -> None:
        self.settings, self._device = settings, device

    @cached_property
    def inception(self) -> Embed:
        """Inception's pooled features, of pictures resized by clean-fid's convention."""
        from p2i_ray.evaluate.metrics.inception_network import CleanInception

        return CleanInception(inception.weights()).to(self._device)

    @cached_property
    def dinov2(self) -> Embed:
        """DINOv2's class token."""
        from p2i_ray.evaluate.metrics.dinov2 import Dinov2Encoder

        return Dinov2Encoder(str(self.settings.dinov2)).to(self._device)

    @cached_property
    def pickscore(self) -> TextImageModel:
        """PickScore's CLIP."""
        return scorers.pickscore(self.settings, self._device)

    @cached_property
    def hpsv2(self) -> TextImageModel:
        """HPSv2.1's CLIP."""
        return scorers.hpsv2(self.settings, self._device)

    @cached_property
    def aesthetics(self) -> Callable[[Batch], NDArray[np.float64]]:
        """LAION's aesthetic score of each picture of a batch."""
        return scorers.aesthetics(self.settings, self._device)

    @cached_property
    def cutter(self) -> Cutter:
        """The cutter that finds the product in a generated picture."""
        from p2i_ray.data.cutouts import loading
        from p2i_ray.data.cutouts.settings import CutoutConfig

        return loading.load(cutter(self.settings), CutoutConfig())


def check_categories(settings: EvaluateConfig, categories: Sequence[str]) -> None:
    """Check before anything is generated that scene_fit knows what suits the products.

    Args:
        settings: of the evaluation.
        categories: of the split.

    Raises:
        UserError: evaluate.scenes can't be read, or has no entry for a category.
    """
    location = locations.absolute(str(settings.scenes))
    scenes.check_categories(scenes.read(location), location, categories)


def make(name: str, models: Models) -> Metric:
    """Make a metric that is neither one of `LOOP` nor the judge's.

    Args:
        name: from `NEEDS`.
        models: shared by all metrics.
    """
    from p2i_ray.evaluate.metrics import (
        background_similarity,
        cmmd,
        frechet,
        kid,
        product_expansion,
        product_truth,
        text_image,
    )
    from p2i_ray.evaluate.metrics.background_similarity import WantedSimilarity
    from p2i_ray.evaluate.metrics.category_compactness import CategoryCompactness
    from p2i_ray.evaluate.metrics.category_distance import CategoryDistance
    from p2i_ray.evaluate.metrics.diversity import Diversity
    from p2i_ray.evaluate.metrics.metric import PictureMean, TwoSides, each_row

    def two_sides(compare: Compare, embed: Embed | None = None) -> Metric:
        """In an encoder's features; none: CLIP's."""
        by = (lambda batch: batch.clip) if embed is None else (lambda batch: batch.features_by(embed))
        return TwoSides(name, NEEDS[name].fewest, features=by, compare=compare)

    def by_text(model: TextImageModel, scaled: bool) -> Metric:
        return PictureMean(name, text_image.scores(model, models.settings.text, scaled=scaled))

    by_inception = models.settings.fid_features == "inception"
    makers: dict[str, Callable[[], Metric]] = {
        "kid": lambda: two_sides(kid.kid, models.inception if by_inception else None),
        "cmmd": lambda: two_sides(cmmd.cmmd),
        "fid_clean": lambda: two_sides(frechet.named(name), models.inception),
        "fd_dinov2": lambda: two_sides(frechet.named(name), models.dinov2),
        "pickscore": lambda: by_text(models.pickscore, scaled=True),
        "hpsv2": lambda: by_text(models.hpsv2, scaled=False),
        "aesthetics": lambda: PictureMean(name, models.aesthetics),
        "diversity": Diversity,
        "category_compactness": CategoryCompactness,
        "category_distance": CategoryDistance,
        "background_similarity": lambda: WantedSimilarity(name, background_similarity.own),
        "reference_similarity": lambda: WantedSimilarity(name, background_similarity.reference),
        "product_unchanged": lambda: PictureMean(name, each_row(product_truth.unchanged)),
        "product_colour": lambda: PictureMean(name, each_row(product_truth.colour)),
        "product_expansion": lambda: PictureMean(name, product_expansion.by(models.cutter)),
        "seam_contrast": lambda: PictureMean(name, each_row(product_truth.seam)),
        "scene_fit": lambda: PictureMean(name, scorers.scene_fit(models.settings), share=True),
    }
    return makers[name]()


def cutter(settings: EvaluateConfig) -> CutterConfig:
    """The cutter that looks for products in generated pictures."""
    from p2i_ray.data.cutouts.settings import CutterConfig

    if settings.cutter is None:
        return CutterConfig()
    return CutterConfig(
        kind="onnx", model=locations.absolute(settings.cutter), family=settings.cutter_family, second_cut=False
    )
