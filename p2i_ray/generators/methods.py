"""The painting method of a job: this project's model or a baseline, alone, or the model with generators beside it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from p2i_ray.config import DiffusionConfig
from p2i_ray.config.generators import UNUSED_CLIP, GeneratorsConfig
from p2i_ray.config.painting import PaintingJobConfig
from p2i_ray.data import categories, footers
from p2i_ray.data.schema import REFERENCES
from p2i_ray.diffusion.baselines import given
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.diffusion.sampling.painting_method import PaintingMethod
from p2i_ray.errors import UserError
from p2i_ray.generators import record_file, references
from p2i_ray.generators.painting import OWN, GeneratorPainting
from p2i_ray.storage import locations

PICTURE, CUTOUT = REFERENCES.names
SELF = "self"  # a reference: each row's own picture


def method_of(job: PaintingJobConfig, data: str, split: str, *, model: str) -> PaintingMethod:
    """The method of a job that paints a split, its reference opened.

    Args:
        job: its settings.
        data: location of the EPBD folder.
        split: that is painted.
        model: location of what it paints with; of method=given of the pictures.

    Raises:
        UserError: the settings don't fit each other or the data, or the reference can't be used.
    """
    _check_together(job)
    if job.method == "given":
        return given.of_folder(model, data, split)
    if job.generators.category is None and job.generators.personality is None:
        columns: tuple[str, ...] = ()
        if _sees_reference(job):
            own = job.reference == SELF
            columns = OWN if own else _columns(data, split, "baseline.ip_adapter_sees=reference")
        return Painting(job.diffusion, job.method, job.baseline, columns)
    if job.generators.personality is not None and job.reference not in (None, SELF):
        assert job.reference is not None
        painting = GeneratorPainting(job.diffusion, job.generators)
        picture = locations.absolute(job.reference)
        cutout = None if job.reference_cutout is None else locations.absolute(job.reference_cutout)
        read = references.read_reference(picture, cutout, job.image)
        return replace(painting, reference=read, files=(picture, *([] if cutout is None else [cutout])))
    return beside(job.diffusion, job.generators, data, split, own=job.reference == SELF)


def check_compared(painting: PaintingMethod, data: str, split: str) -> None:
    """Check that `reference_similarity`, which compares with the column, compares with what was painted after.

    Args:
        painting: the method.
        data: location of the EPBD folder.
        split: that is painted.

    Raises:
        UserError: there is no such column, or pictures are painted after another reference.
    """
    if PICTURE not in footers.columns_of_any(data, split):
        raise UserError(
            f"reference_similarity compares with each row's reference, and {split} has no column {PICTURE}; add it "
            "(docs/generators.md), or leave reference_similarity out of the metrics"
        )
    one_for_all = isinstance(painting, GeneratorPainting) and painting.reference is not None
    if one_for_all or painting.columns == OWN:
        given = "reference=FILE" if one_for_all else f"reference={SELF}"
        raise UserError(
            f"reference_similarity compares with the column {PICTURE}, and {given} has pictures painted after another "
            f"one; leave {given} or reference_similarity out"
        )


def warn_of_stand_ins(painting: PaintingMethod, data: str, split: str) -> None:
    """Say here, not in workers' logs, which categories of a split are painted as others that were trained.

    Args:
        painting: the method, which has been checked.
        data: location of the EPBD folder.
        split: that is painted.
    """
    if not isinstance(painting, GeneratorPainting) or painting.settings.category is None:
        return
    if painting.settings.unknown_category == "error":  # such rows are set aside
        return
    known = record_file.categories(painting.settings.category)
    for name in categories.read(data, split):
        if name.strip() and not known.has(name):
            with suppress(UserError):  # such rows are set aside, too
                known.find(name, unknown="nearest")  # which warns


def beside(
    diffusion: DiffusionConfig, settings: GeneratorsConfig, data: str, split: str, *, own: bool = False
) -> GeneratorPainting:
    """Generators beside a model, each row with its own reference.

    Args:
        diffusion: of the model.
        settings: the generators' folders.
        data: location of the EPBD folder.
        split: that is painted.
        own: a row's reference is its own picture.

    Raises:
        UserError: the split has no references, and a personality-wise generator needs them.
    """
    painting = GeneratorPainting(diffusion, settings)
    if settings.personality is None:
        return painting
    return replace(painting, columns=OWN if own else _columns(data, split, "generators.personality"))


def _columns(data: str, split: str, setting: str) -> tuple[str, ...]:
    """The columns that have each row's reference, and where there is one its cutout."""
    there = footers.columns_of_any(data, split)
    if PICTURE not in there:
        raise UserError(
            f"{setting} paints in the style of a reference, and there is none: give reference=FILE, reference=self, or "
            f"data whose {split} has a column {PICTURE}; it has {', '.join(there)}"
        )
    return tuple(name for name in REFERENCES.names if name in there)


def _sees_reference(job: PaintingJobConfig) -> bool:
    """Whether a baseline sees each row's reference."""
    return job.method == "ip_adapter" and job.baseline.ip_adapter_sees == "reference"


def _check_together(job: PaintingJobConfig) -> None:
    """Refuse what would be given for nothing."""
    settings = job.generators
    named = [name for name in ("category", "personality") if getattr(settings, name) is not None]
    if named and job.method != "product2img":
        raise UserError(
            f"generators.{named[0]} stands beside method=product2img, not method={job.method}; leave one out"
        )
    if settings.reference_clip is not None and settings.personality is None:
        raise UserError(UNUSED_CLIP)
    sees = _sees_reference(job)
    if sees and job.reference not in (None, SELF):
        raise UserError(
            f"reference={job.reference} is used by a personality-wise generator alone; an IP-Adapter sees each row's: "
            "give reference=self, or data with a column reference"
        )
    if job.reference is not None and settings.personality is None and not sees:
        raise UserError(
            f"reference={job.reference} is used by a personality-wise generator alone; set generators.personality, or "
            "leave it out"
        )
    if job.reference_cutout is not None and job.reference in (None, SELF):
        raise UserError(
            f"reference_cutout={job.reference_cutout} says where the product of a reference is; give reference, too"
        )
