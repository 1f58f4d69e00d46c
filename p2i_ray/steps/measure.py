"""Measure: FID, CLIP-c-I and CLIP-c-B of I_dev, and how diverse its backgrounds are."""

from __future__ import annotations

import json

from p2i_ray.data import reading
from p2i_ray.evaluate.catalogue import NEEDS
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import MEASURE
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import locations

DIVERSITY = "diversity"  # of the features that CLIP-c-B takes anyway
Figures = dict[str, float]  # by metric, and how many images they are of


def measure(this: Round, images: Output) -> None:
    """Measure painted images. No step reads the figures, so this may return before they are there."""
    from p2i_ray.evaluate import measure as metrics

    config = this.run.config

    def compute() -> Figures:
        real = reading.read_split(this.data, config.idr.dev_split)
        wanted = (*metrics.METRICS, *((DIVERSITY,) if _painted(images) >= NEEDS[DIVERSITY].fewest else ()))
        return metrics.measure(
            images.location, images.files, real, settings=config.evaluate, image=config.image, metrics=wanted
        )

    def record(out: str, figures: Figures) -> Counts:
        locations.write_text(out, json.dumps(figures, indent=1))
        return Counts(rows_in=images.rows, rows_out=images.rows, facts=dict(figures))

    this.run.once_unread(this.number, MEASURE, compute, record)


def _painted(images: Output) -> int:
    return images.rows - images.manifest.set_aside
