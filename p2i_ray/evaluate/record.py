"""The record of an evaluation: each metric's figures with all that they depend on besides the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

from pydantic import BaseModel, ConfigDict, ValidationError

from p2i_ray.config import EvaluateConfig, ImageConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import catalogue, inception
from p2i_ray.storage import fingerprints, locations

FILE = "record.json"
# The libraries whose version a figure depends on: what resizes, embeds and computes.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "fid": ("torchmetrics", "torch_fidelity", "transformers"),
    "clip_c_i": ("transformers",),
    "clip_c_b": ("transformers",),
    "fid_clean": ("p2i_ray", "pillow", "torch_fidelity"),
    "fd_dinov2": ("p2i_ray", "pillow", "transformers"),
    "kid": ("p2i_ray", "torch_fidelity", "transformers"),
    "cmmd": ("p2i_ray", "transformers"),
    "diversity": ("p2i_ray", "transformers"),
    "category_compactness": ("p2i_ray", "transformers"),
    "category_distance": ("p2i_ray", "transformers"),
    "background_similarity": ("p2i_ray", "transformers"),
    "reference_similarity": ("p2i_ray", "transformers"),
    "pickscore": ("p2i_ray", "transformers"),
    "hpsv2": ("p2i_ray", "open_clip_torch", "transformers"),
    "aesthetics": ("p2i_ray", "transformers"),
    "scene_fit": ("p2i_ray", "transformers"),
    "product_expansion": ("p2i_ray", "opencv-python-headless", "onnxruntime"),
    "available_rate": ("p2i_ray", "vllm"),
    "vqa_score": ("p2i_ray", "vllm"),
}
OTHERS = ("p2i_ray",)
# Metrics that look at cutout or background alone.
ALONE = (
    "clip_c_i",
    "clip_c_b",
    "diversity",
    "category_compactness",
    "category_distance",
    "background_similarity",
    "reference_similarity",
    "scene_fit",
)
BUILDS = ("", "-cpu", "-gpu")  # under which names libraries are published, the same modules
NONE = "none"  # in place of weights, or of a version


class Conditions(BaseModel):
    """The conditions of a figure besides the model that painted; figures that differ in any can't be compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: str  # names and versions
    weights: str  # fingerprint of the measuring model's files
    settings: dict[str, str]  # of the metric
    resolution: int  # side of the pictures, pixels
    images: int  # generated ones that were measured, or asked about
    real_images: int  # that they were compared with; 0: with none
    data: str  # fingerprint of the split: the products, and the real pictures


class Measured(BaseModel):
    """A metric of an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    figures: dict[str, float]
    conditions: Conditions


class Record(BaseModel):
    """All metrics of an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str  # that painted: method and location
    judge: str | None = None  # that answered: its group of settings, and its model; none: none did, or it is not known
    metrics: dict[str, Measured]


def make(
    figures: Mapping[str, float],
    metrics: Sequence[str],
    *,
    model: str,
    split: str,
    settings: EvaluateConfig,
    image: ImageConfig,
    judges: Mapping[str, str] | None = None,
    judge: str | None = None,
) -> Record:
    """The record of an evaluation.

    Args:
        figures: of all metrics, as `measure` returns them, and the judge's.
        metrics: names.
        model: that painted: method and location.
        split: location of the split's folder.
        settings: of the evaluation.
        image: the pictures' size.
        judge: that answered: its group of settings, and its model; none: it was not asked.
        judges: what the judge's answers depend on, by name, its fingerprint as `weights`; none: it was not asked.
    """
    data = fingerprints.fingerprint(fingerprints.states(split), {})
    known: dict[str, str] = {}  # fingerprints by location
    found: dict[str, Measured] = {}
    for name in metrics:
        own = {key: value for key, value in figures.items() if _owner(key, metrics) == name}
        given = dict(judges or {}) if catalogue.NEEDS[name].judge else _settings(name, settings)
        weights = given.pop("weights", None) or _weights(name, settings, known)
        found[name] = Measured(
            figures=own,
            conditions=Conditions(
                library=", ".join(f"{one} {_version(one)}" for one in LIBRARIES.get(name, OTHERS)),
                weights=weights,
                settings=given,
                resolution=image.resolution,
                images=_images(name, figures),
                real_images=_reals(name, figures),
                data=data,
            ),
        )
    return Record(model=model, judge=judge, metrics=found)


def write(record: Record, out: str) -> None:
    """Write the record into an evaluation's folder."""
    locations.write_text(locations.join(out, FILE), record.model_dump_json(indent=1))


def read(out: str) -> Record:
    """The record of an evaluation's folder.

    Raises:
        UserError: there is none, or it can't be read.
    """
    location = locations.join(out, FILE)
    if not locations.exists(location):
        raise UserError(f"{out} has no {FILE}; give the out= folder of a finished jobs/evaluate.py")
    try:
        return Record.model_validate_json(locations.read_bytes(location))
    except ValidationError as error:
        told = error.errors()[0]["msg"]
        raise UserError(f"{location} is no record of an evaluation: {told}; restore it from a copy") from None


def _owner(key: str, metrics: Sequence[str]) -> str | None:
    """The metric that a figure belongs to: the longest name that it begins with."""
    return max((name for name in metrics if key == name or key.startswith(f"{name}_")), key=len, default=None)


def _images(name: str, figures: Mapping[str, float]) -> int:
    if catalogue.NEEDS[name].judge:
        return int(figures[f"{name}_images"] + figures.get(f"{name}_left_out", 0))
    return int(figures["images"])


def _reals(name: str, figures: Mapping[str, float]) -> int:
    if not catalogue.NEEDS[name].real:
        return 0
    return int(figures.get("real_images", figures.get("fid_images", 0)))


def _version(library: str) -> str:
    for build in BUILDS:
        try:
            return metadata.version(f"{library}{build}")
        except metadata.PackageNotFoundError:
            continue
    return NONE


def _settings(name: str, settings: EvaluateConfig) -> dict[str, str]:
    """The settings that a metric's figure depends on, besides its model."""
    if name in ("fid", "kid"):
        return {"fid_features": settings.fid_features}
    if name in ("pickscore", "hpsv2"):
        return {"text": settings.text}
    if name in ALONE and settings.fill != "grey":
        return {"fill": settings.fill}
    if name == "product_expansion" and settings.cutter:
        return {"cutter_family": settings.cutter_family}
    return {}


def _weights(name: str, settings: EvaluateConfig, known: dict[str, str]) -> str:
    """The fingerprint of a metric's models."""
    if name == "fid_clean" or (name in ("fid", "kid") and settings.fid_features == "inception"):
        places = [str(inception.weights())]
    elif name == "product_expansion":
        places = [settings.cutter] if settings.cutter else []
    elif name == "scene_fit":
        places = [settings.clip, str(settings.scenes)]
    elif name == "aesthetics":
        places = [str(settings.aesthetics), str(settings.aesthetics_clip)]
    elif setting := catalogue.NEEDS[name].setting:
        places = [str(getattr(settings, setting))]
    else:
        places = [] if name in ("product_unchanged", "product_colour", "seam_contrast") else [settings.clip]
    return " ".join(_fingerprint(locations.absolute(place), known) for place in places) or NONE


def _fingerprint(location: str, known: dict[str, str]) -> str:
    if location not in known:
        known[location] = fingerprints.fingerprint(fingerprints.states(location), {})
    return known[location]
