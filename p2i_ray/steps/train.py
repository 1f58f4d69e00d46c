"""Train: M_i goes on from M_{i-1} with S_i (Eq. 5)."""

from __future__ import annotations

import time

from p2i_ray.config.seeds import seed_for
from p2i_ray.run.manifests import Counts
from p2i_ray.run.spans import Span
from p2i_ray.run.step_table import TRAIN
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import locations


def train(this: Round, features: Output, kept: Output | None, model: str) -> str:
    """Train a round's model; returns the location of the new model folder.

    Args:
        this: the round.
        features: of S_1, or of all rows.
        kept: the ids of S_i; none: all rows are trained on.
        model: M_{i-1}, location of a model folder.
    """
    from p2i_ray.diffusion.features.index import FeatureIndex
    from p2i_ray.diffusion.training import launch

    run, config = this.run, this.run.config
    shards = locations.resolve(features.manifest.facts["shards"], run.dir)
    steps = config.idr.steps[this.number - 1]
    assert TRAIN.unfinished is not None, "an interrupted training goes on from its checkpoints"
    checkpoints = this.path(TRAIN.unfinished)

    def work(out: str) -> Counts:
        with this.progress(TRAIN, steps, "steps", config.train.batch_size) as progress:
            began = time.time()
            facts = launch.train(
                features=FeatureIndex(features.location, features.files, shards),
                keep=kept.location if kept else None,
                base=model,
                diffusion=config.diffusion,
                settings=config.train,
                steps=steps,
                seed=seed_for(config.seed, "train", this.number),
                out=out,
                work=checkpoints,
                tracking=this.path("tracking"),
                progress=progress,
            )
        launched, first_step = began + facts["launched_s"], began + facts["start_s"]  # of the last start, if one failed
        run.attempt.add(Span(kind="start", round=this.number, name="trainers", began=launched, ended=first_step))
        return Counts(rows_in=kept.rows if kept else features.rows, facts=facts)

    trained = this.once(TRAIN, work)
    locations.remove(checkpoints)  # the finished model replaces the checkpoints it grew from
    return trained.location
