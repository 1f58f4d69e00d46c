"""The metrics by name: what each needs, and how it is made. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.config import EvaluateConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import inception
from p2i_ray.storage import locations

if TYPE_CHECKING:
    from p2i_ray.data.cutouts.settings import CutterConfig
    from p2i_ray.evaluate.metrics.metric import Metric

LOOP: tuple[str, ...] = ("fid", "clip_c_i", "clip_c_b")  # what a run measures after each round
PATHS = ("clip", "cutter")  # settings


class Need(NamedTuple):
    """What a metric needs."""

    fewest: int  # pictures, on each side that it looks at
    real: bool = False  # it compares with the split's own pictures
    name: bool = False  # it looks at products' names


NEEDS: dict[str, Need] = {
    "fid": Need(2, real=True),
    "clip_c_i": Need(1),
    "clip_c_b": Need(1),
    "kid": Need(10, real=True),
    "cmmd": Need(10, real=True),
    "diversity": Need(10),
    "product_unchanged": Need(2),
    "product_colour": Need(2),
    "product_expansion": Need(2),
    "seam_contrast": Need(2),
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
    if "product_expansion" in metrics:
        from p2i_ray.data.cutouts import loading

        loading.check(cutter(settings))
    for name in metrics:
        if NEEDS[name].real and pictures < NEEDS[name].fewest:
            called = "FID" if name == "fid" else name
            raise UserError(
                f"{called} needs {NEEDS[name].fewest} pictures a side, and {split} has {pictures} scenes; "
                "give a larger split"
            )


def anywhere(settings: EvaluateConfig) -> EvaluateConfig:
    """The same with its paths made absolute: workers have other working directories."""
    given = {name: value for name in PATHS if (value := getattr(settings, name)) is not None}
    return settings.model_copy(update={name: locations.absolute(value) for name, value in given.items()})


def make(name: str, settings: EvaluateConfig, device: str) -> Metric:
    """Make a metric that is not one of `LOOP`.

    Args:
        name: from `NEEDS`.
        settings: of the evaluation; paths are absolute.
        device: of its models.
    """
    from p2i_ray.data.cutouts import loading
    from p2i_ray.data.cutouts.settings import CutoutConfig
    from p2i_ray.evaluate.metrics import cmmd, kid, product_expansion, product_truth
    from p2i_ray.evaluate.metrics.diversity import Diversity
    from p2i_ray.evaluate.metrics.metric import PictureMean, TwoSides, each_row

    fewest = NEEDS[name].fewest
    makers: dict[str, Callable[[], Metric]] = {
        "kid": lambda: TwoSides(name, fewest, features=lambda batch: batch.clip, compare=kid.kid),
        "cmmd": lambda: TwoSides(name, fewest, features=lambda batch: batch.clip, compare=cmmd.cmmd),
        "diversity": Diversity,
        "product_unchanged": lambda: PictureMean(name, each_row(product_truth.unchanged)),
        "product_colour": lambda: PictureMean(name, each_row(product_truth.colour)),
        "product_expansion": lambda: PictureMean(
            name, product_expansion.by(loading.load(cutter(settings), CutoutConfig()))
        ),
        "seam_contrast": lambda: PictureMean(name, each_row(product_truth.seam)),
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
