"""Generate pictures for a split with a model and measure them: FID, CLIP-c-I and CLIP-c-B (section 5.1.3).

    python jobs/evaluate.py --config mini data=data/mini split=test model=runs/mini/model out=runs/mini-test
    python jobs/evaluate.py --config mini data=data/mini model=runs/mini/model methods=clip_c_b out=runs/mini-val

Writes out/generated/*.parquet and out/metrics.json, and prints the figures.
"""

from __future__ import annotations

import json

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config import Config
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


class EvaluateJob(Config):
    """The settings of the evaluate job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field(
        "test", description="pictures are generated for its products; FID compares with its own pictures"
    )
    model: str = Field(description="model folder, a path or URI")
    methods: str = Field("fid,clip_c_i,clip_c_b", description="metrics, with commas between")
    out: str = Field(description="folder for generated pictures and figures, a path or URI; must be new")


def run(job: EvaluateJob) -> None:
    """Run the job."""
    from p2i_ray.data import reading
    from p2i_ray.diffusion.sampling import generate
    from p2i_ray.evaluate import measure

    methods = measure.known([name.strip() for name in job.methods.split(",") if name.strip()])
    data, model, out = locations.absolute(job.data), locations.absolute(job.model), locations.absolute(job.out)
    if locations.exists(out):
        raise UserError(f"{out} is there already; give another out, or remove it")
    if not locations.exists(model):
        raise UserError(f"model {model} is not there; check the path")
    total, folder = reading.count(data, job.split), locations.join(out, "generated")
    preflight.check_rights(out)
    connection.connect(job.ray)
    turns = [(resources.generate(job.generate),), (resources.evaluate(job.evaluate),)]
    preflight.check(turns, writes=[out], reads=[data, model, job.evaluate.clip])
    rows, real = reading.read_split(data, job.split), reading.read_split(data, job.split)
    with phase(f"generate {job.split}", total) as progress:
        written = generate.generate(
            rows,
            model,
            folder,
            settings=job.generate,
            image=job.image,
            diffusion=job.diffusion,
            seed=job.seed,
            progress=progress,
        )
    figures = measure.measure(folder, written.files, real, settings=job.evaluate, image=job.image, metrics=methods)
    locations.write_text(locations.join(out, "metrics.json"), json.dumps(figures, indent=1))
    for name, value in figures.items():
        print(f"{name:<13}{value:g}")


if __name__ == "__main__":
    main(EvaluateJob, __doc__, run)
