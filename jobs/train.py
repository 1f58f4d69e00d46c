"""Fine-tune a model on a split by Eq. 5, or train a generator beside it, on features that are encoded once.

    python jobs/train.py --config mini data=data/mini model=p2i_ray/mini/weights/diffusion out=runs/first/model
    python jobs/train.py --config a100x4 data=s3://bucket/epbd model=models/base out=s3://bucket/model steps=3000
    python jobs/train.py --config gpu24gb data=data/shop out=runs/by-category generator=category
    python jobs/train.py --config a100x4 --plan plan.gpu_memory_gib=80

Features and checkpoints wait in OUT.work until the model is finished; the same command after an interruption goes on.
generator=category and generator=personality train a copy of the model's encoder beside it, by category or by style
(docs/generators.md); OUT is then the generator's folder, and generators.* are its settings.
OUT.tracking has TensorBoard's files (`tensorboard --logdir OUT.tracking`) and sample images of every checkpoint.
With --plan nothing is trained: memory, hours and price are worked out, without Ray, GPUs, data or weights.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config, DiffusionConfig, Effect, ImageConfig, PlanConfig
from p2i_ray.config.generators import GeneratorName, GeneratorsConfig
from p2i_ray.config.loading import defaults, effects, flat
from p2i_ray.console.cli import AlternativeAction, main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.errors import UserError
from p2i_ray.run import lease
from p2i_ray.storage import fingerprints, locations

if TYPE_CHECKING:
    from p2i_ray.diffusion.features.index import FeatureIndex
    from p2i_ray.diffusion.training.job import Objective


class PlanJob(Config):
    """The job's own keys, none of which a plan needs."""

    data: str | None = Field(None, description="EPBD folder, a path or URI")
    split: str = Field("train", description="split to train on")
    keep: str | None = Field(None, description="Parquet file whose column id lists the rows to train on (none: all)")
    model: str | None = Field(None, description="model folder to start from (none: diffusion.base)")
    out: str | None = Field(None, description="folder of the new model")
    steps: int | None = Field(None, ge=1, description="optimizer steps (none: the first of idr.steps)")
    generator: GeneratorName = Field(
        "product2img", description="what is trained: the model, or a generator beside it by category or by style"
    )
    generators: GeneratorsConfig = GeneratorsConfig()
    plan: PlanConfig = PlanConfig()


class TrainJob(PlanJob):
    """The keys that a training needs."""

    data: str = Field(description="EPBD folder, a path or URI")
    out: str = Field(description="folder of the new model, a path or URI that all nodes reach; must be new")


def show_plan(job: PlanJob) -> None:
    """Print what the training would need."""
    from p2i_ray.planning import training_text as plan_text

    base, steps = locations.absolute(job.model or job.diffusion.base), job.steps or job.idr.steps[0]
    if job.model and not locations.exists(base):
        raise UserError(f"model folder {base} is not there; check the path")
    resolution = job.image.resolution
    planned = plan_text.work_out(
        base, diffusion_of(job), job.train, resolution, generator=job.generator, generators=job.generators
    )
    lines = plan_text.as_lines(planned, job.train, resolution=resolution, steps=steps, assumed=job.plan)
    print("\n".join(lines))


def run(job: TrainJob) -> None:
    """Encode, train, write the model folder."""
    from p2i_ray.diffusion.model import validation
    from p2i_ray.diffusion.training import launch as training

    out = locations.absolute(job.out)
    work, steps = f"{out}.work", job.steps or job.idr.steps[0]
    lease.check_free(f"{work}.{lease.FILE}")
    check_new(out, work)
    base = locations.absolute(job.model or job.diffusion.base)
    objective_of(job).check(base, validation.anywhere(job.diffusion), job.train)
    validation.check_model(base, job.image, diffusion_of(job).widen)
    rows = count(job)
    check_categories(job)
    training.check_rows(job.train, rows)
    preflight.check_rights(work)
    with lease.held(f"{work}.{lease.FILE}"):
        check_new(out, work)  # meanwhile somebody may have finished it
        facts = train(job, out, work, rows=rows, steps=steps, base=base)
        locations.remove(work)
    print(f"{out}: {facts['steps']} steps on {facts['rows']} rows, last loss {facts['loss']:.4f}")
    if "images_per_s" in facts:
        print(
            f"{facts['images_per_s']:.0f} images/s, {facts['waiting']:.1%} of the time waiting for rows, "
            f"first step after {facts['start_s']:.0f} s"
        )


def check_new(out: str, work: str) -> None:
    """Raise UserError if the folder holds a finished model: nothing is overwritten."""
    if locations.exists(out) and not locations.exists(work):
        raise UserError(f"{out} is there already; give another out, or remove it")


def train(job: TrainJob, out: str, work: str, *, rows: int, steps: int, base: str) -> dict[str, Any]:
    """Encode the rows and train on their features; returns what launch.train does."""
    from p2i_ray.diffusion.training import launch as training

    stay_with(work, settings_of(job, steps))
    locations.remove(out)  # what an interrupted call had saved of the model
    connection.connect(job.ray)
    turns = [(resources.features(job.features),), (resources.train(job.train),)]
    preflight.check(turns, writes=[work], reads=[job.data, base, job.diffusion.clip])
    diffusion = diffusion_of(job).model_copy(update={"base": base})
    features = encode(job, diffusion, rows, locations.join(work, "features"))
    with phase("train", steps, "steps") as progress:
        return training.train(
            features,
            objective=objective_of(job, features),
            keep=locations.absolute(job.keep) if job.keep else None,
            base=base,
            diffusion=diffusion,
            settings=job.train,
            steps=steps,
            seed=job.seed,
            out=out,
            work=work,
            tracking=f"{out}.tracking",
            progress=progress,
        )


def diffusion_of(job: PlanJob) -> DiffusionConfig:
    """The settings with which the base is loaded: a plain one beside which a generator is trained is taken, too."""
    widen = job.diffusion.widen or job.generators.keeps_base_plain(job.generator)
    return job.diffusion.model_copy(update={"widen": widen})


def objective_of(job: TrainJob, features: FeatureIndex | None = None) -> Objective:
    """The objective of the training; see generators.choice.objective_of.

    Args:
        job: the settings.
        features: of the rows, whose categories are learned; none: to be checked, without categories.
    """
    from p2i_ray.diffusion.features import index
    from p2i_ray.generators import choice

    counts = None
    if features is not None and job.generator == "category":
        counts = index.categories(features, locations.absolute(job.keep) if job.keep else None)
    return choice.objective_of(job.generator, job.generators, job.train, counts)


def settings_of(job: TrainJob, steps: int) -> dict[str, Any]:
    """The settings that make another training of it, flat."""
    values, marks = dict(flat(job.model_dump(mode="json"))), dict(effects(type(job)))
    counting = (key for key in values if key.startswith("train.") and marks[key] is not Effect.RUNTIME)
    found = {
        **{key: values[key] for key in counting if not key.endswith(".num_gpus")},
        "seed": job.seed,
        "steps": steps,
    }
    if job.generator == "product2img":
        return found
    own = {key: value for key, value in values.items() if key == "generator" or key.startswith("generators.")}
    return found | own


def stay_with(work: str, settings: dict[str, Any]) -> None:
    """Record what an unfinished training began with, or check that it goes on with the same.

    Raises:
        UserError: it began with other settings.
    """
    note = locations.join(work, "settings.json")
    if locations.exists(note) and locations.exists(locations.join(work, "train")):
        before = json.loads(locations.read_text(note))
        others = [f"{key}: {before.get(key)!r} -> {now!r}" for key, now in settings.items() if before.get(key) != now]
        if others:
            raise UserError(
                f"{work} holds an unfinished training with other settings ({'; '.join(others[:3])}); set them back, or "
                f"remove {work}/train to train anew on the same features"
            )
    locations.write_text(note, json.dumps(settings, indent=1))


def asked_of(job: TrainJob, diffusion: DiffusionConfig, keep: str | None) -> dict[str, Any]:
    """Facts that features depend on."""
    data = locations.absolute(job.data)
    used = {"data": locations.join(data, job.split), "keep": keep, "base": diffusion.base, "clip": diffusion.clip}
    states = {name: fingerprints.states(locations.absolute(place)) for name, place in used.items() if place}
    signatures = {name: fingerprints.signature(found) for name, found in states.items()}
    settings = {name: group.model_dump(mode="json") for name, group in (("image", job.image), ("diffusion", diffusion))}
    asked = {"data": data, "split": job.split, "keep": keep, **settings, "signatures": signatures}
    return {**asked, "pictures": True} if job.generator != "product2img" else asked


def count(job: TrainJob) -> int:
    """The number of rows to train on."""
    from p2i_ray.data import reading

    keep = locations.absolute(job.keep) if job.keep else ""
    if keep:
        reading.check_keep(keep)  # before data are made
    data = preset_data.ready(job, job.data)
    return reading.count_listed(data, job.split, keep) if keep else reading.count(data, job.split)


def check_categories(job: TrainJob) -> None:
    """Raise UserError if a row's category is one that the training can't take; before anything is encoded."""
    from p2i_ray.generators import choice, row_categories

    if choice.reads_categories(job.generator, job.generators):
        keep = locations.absolute(job.keep) if job.keep else None
        found = row_categories.read(locations.absolute(job.data), job.split, keep)
        choice.check_rows(job.generator, job.generators, found)


def encode(job: TrainJob, diffusion: DiffusionConfig, rows: int, out: str) -> FeatureIndex:
    """The rows' features; made by an earlier, interrupted call, or now. A removed index is made again."""
    from p2i_ray.data import reading
    from p2i_ray.diffusion.features import encode as features
    from p2i_ray.diffusion.features.index import FeatureIndex

    keep, pictures = locations.absolute(job.keep) if job.keep else None, job.generator != "product2img"
    done, data, asked = f"{out}.json", locations.absolute(job.data), asked_of(job, diffusion, keep)
    if locations.exists(done) and locations.exists(out):
        found = json.loads(locations.read_text(done))
        before = found["asked"]
        for group, kind in (("image", ImageConfig), ("diffusion", DiffusionConfig)):
            before[group] = {**dict(defaults(kind)), **before.get(group, {})}  # an earlier version had fewer
        others = [key for key, value in asked.items() if before.get(key) != value]
        if others:
            raise UserError(
                f"{out} was made from something else ({', '.join(others)}): data, keep file, models or their settings "
                f"were changed or replaced meanwhile; put them back, or remove {out.rpartition('/')[0]} to begin anew"
            )
        return FeatureIndex(out, found["files"], found["shards"], pictures=pictures)
    locations.remove(out)
    cache = job.features.cache or f"{out}-cache"  # outlasts an attempt that is killed
    settings = job.features.model_copy(update={"cache": cache})
    with phase("encode", rows) as progress:
        read = reading.read_split(data, job.split, keep=keep)
        written = features.encode(
            read,
            out,
            diffusion=diffusion,
            settings=settings,
            image=job.image,
            pictures=pictures,
            progress=progress,
        )
    if written.set_aside:
        print(f"{written.set_aside} of {written.rows} rows are set aside; see the column error in {out}")
    shards = written.facts["shards"]
    locations.write_text(done, json.dumps({"asked": asked, "files": written.files, "shards": shards}))
    return FeatureIndex(out, written.files, shards, pictures=pictures)


PLAN = AlternativeAction(
    "--plan", "print the memory, hours and price of the run instead of running it", PlanJob, show_plan
)

if __name__ == "__main__":
    main(TrainJob, __doc__, run, instead=[PLAN])
