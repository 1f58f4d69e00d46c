r"""Paint a background for every product of a split.

    python jobs/generate.py --config mini data=data/mini split=test model=runs/mini/model out=runs/mini-test
    python jobs/generate.py --config mini data=data/mini model=MODEL method=sd_inpainting out=runs/baseline
    python jobs/generate.py --config mini data=data/mini model=MODEL generators.category=FOLDER out=runs/by-category
    python jobs/generate.py --config mini data=data/mini model=MODEL generators.personality=FOLDER \
      reference=brand.jpg out=runs/in-style

generators.category paints by each row's category, generators.personality in the style of a reference: one picture for
all rows (reference=FILE), or each row's own, in a column reference of the data. docs/generators.md has more.

compositing.shadow and compositing.light are applied after painting; the column `compositing` then says, as JSON, what
was done to each picture.

Writes out/*.parquet (id, name, category, image, cutout, error); `datasets.load_dataset("parquet", …)` opens them.
"""

from __future__ import annotations

from pydantic import Field

from p2i_ray.cluster import connection, preflight, resources
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.config.painting import PaintingJobConfig
from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.console.cli import main
from p2i_ray.console.progress import phase
from p2i_ray.data import preset_data
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import folders, locations


class GenerateJob(PaintingJobConfig):
    """The job's own keys."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field("test", description="split whose products are painted")
    model: str = Field(description="model folder, a path or URI; for method=lama its ONNX file")
    out: str = Field(description="folder to write, a path or URI that all nodes reach; must be new")
    compositing: CompositingConfig = CompositingConfig()
    provenance: ProvenanceConfig = ProvenanceConfig()


def run(job: GenerateJob) -> None:
    """Paint the split."""
    from p2i_ray.compositing.finish import finisher
    from p2i_ray.data import reading
    from p2i_ray.diffusion.model.fingerprint import of_models
    from p2i_ray.diffusion.sampling import generate
    from p2i_ray.diffusion.sampling.painting_method import columns_read
    from p2i_ray.generators.methods import method_of, warn_of_stand_ins
    from p2i_ray.provenance.marks import checked

    data, model, out = locations.absolute(job.data), locations.absolute(job.model), locations.absolute(job.out)
    if job.method == "given":
        raise UserError("method=given takes pictures that are there, to be measured: use jobs/evaluate.py")
    job_output.check(out, "generate")
    painting = method_of(job, data, job.split, model=model)
    painting.check(model, job.image)
    warn_of_stand_ins(painting, data, job.split)
    finish = finisher(job.compositing)
    if finish is not None and not job.generate.paste_product:
        raise UserError(
            "compositing.shadow and compositing.light need the product's own pixels; set generate.paste_product=true"
        )
    marks = checked(job.provenance, of_models(model, *painting.parts))
    total = reading.count(preset_data.ready(job, data), job.split)
    preflight.check_rights(out)
    connection.connect(job.ray)
    preflight.check([(resources.generate(job.generate),)], writes=[out], reads=[data, model, *painting.parts])
    with job_output.held(out, "generate"):
        for left in folders.files(out, ".parquet"):  # of an attempt that was interrupted
            locations.remove(left)
        with phase(f"paint {job.split}", total) as progress:
            rows = reading.read_split(data, job.split, columns=columns_read(painting))
            written = generate.generate(
                rows,
                model,
                out,
                settings=job.generate,
                image=job.image,
                painting=painting,
                seed=job.seed,
                finish=finish,
                marks=marks,
                progress=progress,
            )
    print(f"{out}: {written.rows - written.set_aside} painted, {written.set_aside} set aside")


if __name__ == "__main__":
    main(GenerateJob, __doc__, run)
