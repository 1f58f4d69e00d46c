"""Encode: features of the rows of S_1 through the frozen encoders, once; later rounds train on subsets of them."""

from __future__ import annotations

from dataclasses import replace

from p2i_ray.config import FeatureConfig
from p2i_ray.data import reading
from p2i_ray.run.folder import Run
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import ENCODE, SELECT, TRAIN
from p2i_ray.steps.round import Output, Round, counts
from p2i_ray.storage import locations

FIRST = 1  # the round that S_1 is of


def encode(this: Round) -> Output:
    """Encode S_1, or all rows where nothing is selected.

    An index that was removed is made again if the round has yet to train on it.
    """
    from p2i_ray.diffusion.features import encode as features

    run, config, first = this.run, this.run.config, replace(this, number=FIRST)
    selected = run.done(FIRST, SELECT)
    total = selected.rows_out if selected else reading.count(this.data, "train")
    kept = first.path(SELECT.output) if selected else None

    def work(out: str) -> Counts:
        rows = reading.read_split(this.data, "train", keep=kept)
        with first.progress(ENCODE, total, images=1) as progress:
            written = features.encode(
                rows,
                diffusion=config.diffusion,
                settings=feature_settings(run),
                image=config.image,
                out=out,
                progress=progress,
            )
        shards = locations.relative(written.facts["shards"], run.dir)  # the run may be moved
        return counts(total, written._replace(facts={**written.facts, "shards": shards}))

    if not run.done(this.number, TRAIN) and not locations.exists(first.path(ENCODE.output)):
        run.forget(FIRST, ENCODE)
    return first.once(ENCODE, work)


def feature_settings(run: Run) -> FeatureConfig:
    """The encoders' settings, with a cache that outlasts an attempt which is killed."""
    cache = run.config.features.cache or locations.join(run.dir, "feature-cache")
    return run.config.features.model_copy(update={"cache": cache})
