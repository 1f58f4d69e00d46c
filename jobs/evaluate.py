"""Generate pictures for a split with a model and measure them: FID, CLIP-c-I, CLIP-c-B (section 5.1.3), and others.

    python jobs/evaluate.py --config mini data=data/mini split=test model=runs/mini/model out=runs/mini-test
    python jobs/evaluate.py --config mini data=data/mini model=runs/mini/model methods=clip_c_b out=runs/mini-val
    python jobs/evaluate.py --config mini data=data/mini model=runs/mini/model methods=kid,available_rate out=runs/kid
    python jobs/evaluate.py --config mini --table evaluated=runs/kid,runs/kid-of-another methods=kid

The table of methods is in docs/training.md. available_rate and vqa_score ask the judge, whose answers are written, too.
Writes out/generated/*.parquet, out/metrics.json and out/record.json, and prints the figures; out/values.parquet and
out/features-METRIC.parquet have the values of each picture, and the features that sets are compared by. The same
command after a failure goes on: pictures that are generated are measured, also with other metrics or other settings of
the evaluation.
--table compares evaluations, and refuses where library, weights, resolution, data or number of pictures differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.config.baseline import BaselineConfig, Method
from p2i_ray.console.cli import AlternativeAction, main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import fingerprints, locations, parquet

if TYPE_CHECKING:
    from p2i_ray.diffusion.baselines.methods import Painting
    from p2i_ray.judge.judge import Judge


class EvaluateJob(Config):
    """The settings of the evaluate job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field(
        "test", description="pictures are generated for its products; FID compares with its own pictures"
    )
    model: str = Field(description="model folder, a path or URI; for method=lama its ONNX file")
    method: Method = Field("product2img", description="how it is painted: by this project's model, or by a baseline")
    baseline: BaselineConfig = BaselineConfig()
    methods: str = Field(
        "fid,clip_c_i,clip_c_b", description="metrics, with commas between: see docs/training.md for all of them"
    )
    out: str = Field(description="folder for generated pictures and figures, a path or URI; must be new")


class TableJob(Config):
    """What a table shows."""

    evaluated: str = Field(description="out folders of evaluations, with commas between")
    methods: str = Field("", description="metrics, with commas between (none: all of the first evaluation)")


def run(job: EvaluateJob) -> None:
    """Run the job."""
    from p2i_ray.data import reading
    from p2i_ray.diffusion.baselines.methods import Painting
    from p2i_ray.evaluate import catalogue, measure, picture_values, record

    methods = measure.known([name.strip() for name in job.methods.split(",") if name.strip()])
    data, model, out = locations.absolute(job.data), locations.absolute(job.model), locations.absolute(job.out)
    job_output.check(out, "evaluate")
    preset_data.ready(job, data)
    measure.check(job.evaluate, methods, job.split, reading.count_scenes(data, job.split))
    asked = [name for name in methods if catalogue.NEEDS[name].judge]
    judge = judge_of(job, data, out, asked) if asked else None
    painting = Painting(job.diffusion, job.method, job.baseline)
    painting.check(model, job.image)
    preflight.check_rights(out)
    connection.connect(job.ray)
    turns = [(resources.generate(job.generate),), (resources.evaluate(job.evaluate),)]
    preflight.check(
        [*turns, *([resources.scoring(job.judge)] if judge else [])],
        writes=[out],
        reads=[data, model, job.evaluate.clip, *painting.parts],
    )
    with job_output.held(out, "evaluate"):
        folder, files = generated(job, data, model, out=out, painting=painting)
        picture_values.clear(out)
        figures: dict[str, float] = {}
        if measured := [name for name in methods if name not in asked]:
            real = reading.read_split(data, job.split)
            figures = measure.measure(
                folder, files, real, settings=job.evaluate, image=job.image, metrics=measured, values=out
            )
        if judge:
            figures |= judged(judge, folder, files, out=out, metrics=asked)
        record.write(
            record.make(
                figures,
                methods,
                model=f"{job.method} {model}",
                split=locations.join(data, job.split),
                settings=job.evaluate,
                image=job.image,
                judges=judge.conditions() if judge else None,
            ),
            out,
        )
        locations.write_text(locations.join(out, "metrics.json"), json.dumps(figures, indent=1))
    width = max(map(len, figures)) + 1
    for name, value in figures.items():
        print(f"{name:<{width}}{value:g}")


def judge_of(job: EvaluateJob, data: str, out: str, metrics: Sequence[str]) -> Judge:
    """The judge, with what it is going to be asked checked; its engines start when it is asked."""
    from p2i_ray.data import longest_names
    from p2i_ray.judge import length_check
    from p2i_ray.judge.judge import Judge
    from p2i_ray.judge.request_lengths import Asked

    judge = Judge(job.judge, job.image, job.seed, cache=locations.join(out, "judge-cache"))
    if "vqa_score" in metrics:
        judge.check_probabilities()
    if not job.judge.hosted.url:
        names = longest_names.read(data, job.split, job.judge.max_name_chars)
        length_check.check(job.judge, job.image, Asked(names, critiques="available_rate" in metrics))
    return judge


def judged(judge: Judge, folder: str, files: list[str], *, out: str, metrics: Sequence[str]) -> dict[str, float]:
    """The metrics of generated pictures that are the judge's answers; answers and values are written below `out`."""
    from p2i_ray.data import reading
    from p2i_ray.evaluate import picture_values
    from p2i_ray.evaluate.metrics import judged as figures_of

    ask = {
        "available_rate": (judge.critique, figures_of.available_rate, figures_of.available),
        "vqa_score": (judge.suitability, figures_of.vqa_score, figures_of.suitable),
    }
    found: dict[str, float] = {}
    with judge:
        for name in metrics:
            answer, figures, values = ask[name]
            answers = locations.join(out, f"answers-{name.replace('_', '-')}")
            locations.remove(answers)  # of an attempt that failed; what was answered is in the cache
            with phase(name, None, "replies") as progress:
                written = answer(reading.read_files(folder, files), answers, progress=progress)
            table = parquet.read_parquet(answers, written.files)
            found |= figures(table)
            pairs = zip(table["id"].to_pylist(), values(table), strict=True)
            picture_values.add(out, name, {picture: value for picture, value in pairs if value is not None})
    return found


def generated(job: EvaluateJob, data: str, model: str, *, out: str, painting: Painting) -> tuple[str, list[str]]:
    """The folder of the generated pictures and the names of its files: made now, or by an attempt that failed later."""
    from p2i_ray.data import reading
    from p2i_ray.diffusion.sampling import generate

    folder, note = locations.join(out, "generated"), locations.join(out, "generated.json")
    asked = asked_of(job, data, model)
    if locations.exists(note) and (found := json.loads(locations.read_text(note)))["asked"] == asked:
        return folder, list(found["files"])
    locations.remove(note)
    locations.remove(folder)
    rows = reading.read_split(data, job.split)
    with phase(f"generate {job.split}", reading.count(data, job.split)) as progress:
        written = generate.generate(
            rows,
            model,
            folder,
            settings=job.generate,
            image=job.image,
            painting=painting,
            seed=job.seed,
            progress=progress,
        )
    locations.write_text(note, json.dumps({"asked": asked, "files": written.files}, indent=1))
    return folder, written.files


def asked_of(job: EvaluateJob, data: str, model: str) -> dict[str, Any]:
    """What the generated pictures depend on."""
    split = locations.join(data, job.split)
    inputs = {name: fingerprints.signature(fingerprints.states(one)) for name, one in (("d", split), ("m", model))}
    settings = {name: getattr(job, name).model_dump(mode="json") for name in ("generate", "image", "diffusion")}
    asked = {**settings, "seed": job.seed, "split": split, "model": model, "signatures": inputs}
    if job.method != "product2img":
        asked |= {"method": job.method, "baseline": job.baseline.model_dump(mode="json")}
    return asked


def show_table(job: TableJob) -> None:
    """Print a table of evaluations."""
    from p2i_ray.evaluate import record, table
    from p2i_ray.evaluate.catalogue import known

    folders = [locations.absolute(one.strip()) for one in job.evaluated.split(",") if one.strip()]
    names = [name.strip() for name in job.methods.split(",") if name.strip()]
    if not folders:
        raise UserError("evaluated= names no folder; give the out= folders of evaluations, with commas between")
    print("\n".join(table.lines({folder: record.read(folder) for folder in folders}, known(names) if names else ())))


TABLE = AlternativeAction("--table", "print a table of finished evaluations (evaluated=) instead", TableJob, show_table)

if __name__ == "__main__":
    main(EvaluateJob, __doc__, run, instead=[TABLE])
