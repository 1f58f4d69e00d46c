"""Critique: F(x_dev, I_dev, p_F) for every painted image."""

from __future__ import annotations

from p2i_ray.data import reading
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import CRITIQUE
from p2i_ray.steps.round import Output, Round, counts


def critique(this: Round, images: Output) -> Output:
    """Have the judge name the flaws of each painted image."""

    def work(out: str) -> Counts:
        rows = reading.read_files(images.location, images.files)
        with this.progress(CRITIQUE, images.rows) as progress:
            return counts(images.rows, this.judge.critique(rows, out, progress=progress))

    return this.once(CRITIQUE, work)
