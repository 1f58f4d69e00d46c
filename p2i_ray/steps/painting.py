"""The painter's and the ruler's steps of the loop: encode, train, paint, measure."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from p2i_ray.data import reading
from p2i_ray.run.folder import Counts, Manifest, Run
from p2i_ray.run.spans import Span
from p2i_ray.steps.common import counts, feature_settings, finished, run_rows, working
from p2i_ray.storage import locations

Figures = dict[str, float]  # by metric, and how many pictures they are of


class Found(NamedTuple):
    """Figures that were found ahead of their step's turn, when that began, and the seconds that it took."""

    figures: Figures
    began: float
    seconds: float


def train(run: Run, number: int, data: str, kept: str | None, previous: str) -> str:
    """M_i: goes on from M_{i-1} with S_i; the location of the new model folder."""
    if not run.done(number, "train"):
        _train(run, number, data, kept, previous)
    locations.remove(run.path(number, "train"))  # the finished model replaces the checkpoints it grew from
    return run.path(number, "checkpoint")


def _train(run: Run, number: int, data: str, kept: str | None, previous: str) -> None:
    from p2i_ray.diffusion.features.index import FeatureIndex
    from p2i_ray.diffusion.training import launch as training

    encoded = encode(run, data)
    shards = locations.resolve(encoded.facts["shards"], run.dir)
    features = FeatureIndex(run.path(1, "features"), encoded.files, shards)
    steps = run.config.idr.steps[number - 1]

    def work(out: str) -> Counts:
        with working(run, number, "train", steps, "steps", run.config.train.batch_size) as progress:
            began = time.time()
            facts = training.train(
                features, kept, previous, run.config.diffusion, run.config.train, steps,
                locations.seed_for(run.config.seed, "train", number), out, run.path(number, "train"),
                run.path(number, "tracking"), progress,
            )  # fmt: skip
        launched, first_step = began + facts["launched_s"], began + facts["start_s"]  # of the last start, if one failed
        run.attempt.add(Span(kind="start", round=number, name="trainers", began=launched, ended=first_step))
        return Counts(rows_in=run_rows(run, number) or encoded.rows_out, facts=facts)

    run.once(number, "train", "checkpoint", work)


def encode(run: Run, data: str) -> Manifest:
    """Features of the rows of S_1, once: later rounds train on subsets of them. A removed index is made again."""
    from p2i_ray.diffusion.features import encode as features

    config, total = run.config, run_rows(run, 1) or reading.count(data, "train")
    kept = run.path(1, "kept.parquet") if run.done(1, "select") else None
    settings = feature_settings(run)

    def work(out: str) -> Counts:
        rows = reading.read_split(data, "train", keep=kept)
        with working(run, 1, "encode", total, images=1) as progress:
            written = features.encode(rows, config.diffusion, settings, config.image, out, progress)
        shards = locations.relative(written.facts["shards"], run.dir)  # the run may be moved
        return counts(total, written._replace(facts={**written.facts, "shards": shards}))

    if not locations.exists(run.path(1, "features")):
        run.forget(1, "encode")
    return run.once(1, "encode", "features", work)


def paint(run: Run, number: int, data: str, model: str) -> Manifest:
    """I_dev: every product of D_dev with a background by M_i."""
    from p2i_ray.diffusion.sampling import generate

    config, split = run.config, run.config.idr.dev_split
    total = reading.count(data, split)

    def work(out: str) -> Counts:
        rows = reading.read_split(data, split)
        with working(run, number, "generate", total, images=1) as progress:
            written = generate.generate(
                rows,
                model,
                out,
                settings=config.generate,
                image=config.image,
                diffusion=config.diffusion,
                seed=config.seed,
                progress=progress,
            )
        return counts(total, written)

    return run.once(number, "generate", "generated", work)


def measure(run: Run, number: int, data: str, early: Found | None = None) -> Manifest:
    """The ruler's figures for I_dev; found now, unless they were already."""
    painted = finished(run, number, "generate")

    def work(out: str) -> Counts:
        found = early.figures if early else figures_of(run, number, data)
        locations.write_text(out, json.dumps(found, indent=1))
        return Counts(rows_in=painted.rows_out, rows_out=painted.rows_out, facts=dict(found))

    return run.once(number, "measure", "metrics.json", work, (early.began, early.seconds) if early else None)


def figures_of(run: Run, number: int, data: str) -> Figures:
    """FID, CLIP-c-I and CLIP-c-B of a painted round."""
    from p2i_ray.evaluate import measure as ruler

    config, painted = run.config, finished(run, number, "generate")
    real = reading.read_split(data, config.idr.dev_split)
    return ruler.measure(
        run.path(number, "generated"), painted.files, real, settings=config.evaluate, image=config.image
    )
