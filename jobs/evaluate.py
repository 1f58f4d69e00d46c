"""Generate pictures for a split with a model and measure them: FID, CLIP-c-I, CLIP-c-B (section 5.1.3), and others.

    python jobs/evaluate.py --config mini data=data/mini split=test model=runs/mini/model out=runs/mini-test
    python jobs/evaluate.py --config mini data=data/mini model=runs/mini/model methods=clip_c_b out=runs/mini-val
    python jobs/evaluate.py --config mini data=data/mini model=runs/mini/model methods=kid,available_rate out=runs/kid
    python jobs/evaluate.py --config mini data=data/mini model=MODEL generators.category=FOLDER out=runs/by-category
    python jobs/evaluate.py --config mini data=data/mini method=given model=PICTURES methods=clip_c_b out=runs/others
    python jobs/evaluate.py --config mini --tables data=data/mini out=runs/tables
    python jobs/evaluate.py --config mini --table evaluated=runs/kid,runs/kid-of-another methods=kid
    python jobs/evaluate.py --config mini --table evaluated=runs/kid,runs/kid-of-another paired=true
    python jobs/evaluate.py --config mini --clusters evaluated=runs/by-category,runs/controlnet out=clusters.png

The table of methods is in docs/training.md; generators and references are given as to jobs/generate.py. method=given
measures pictures of any other program: a folder of ID.png (.jpg, .webp, …), with the product where its cutout has it.
available_rate and vqa_score ask the judge, whose answers are written, too.
Writes out/generated/*.parquet, out/metrics.json and out/record.json, and prints the figures; out/values.parquet and
out/features-METRIC.parquet have the values of each picture, and the features that sets are compared by. The same
command after a failure goes on: pictures that are generated are measured, also with other metrics or other settings of
the evaluation. Once more with other methods= it adds these to a finished evaluation, whose pictures and figures stay.
--tables runs the whole comparison: arms of the loop and other methods, with seeds, paired differences and the paper's
figures. --table compares evaluations, and refuses where library, weights, resolution, data or number of pictures
differ; paired=true shows the differences to the first evaluation, on the products that both have, with intervals.
--clusters draws the backgrounds of evaluations with methods=category_distance around their categories' centres (t-SNE).
"""

from __future__ import annotations

from pydantic import Field

from p2i_ray.cluster import connection, preflight
from p2i_ray.config import Config
from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.painting import PaintingJobConfig
from p2i_ray.console.cli import AlternativeAction, main
from p2i_ray.data import preset_data
from p2i_ray.errors import UserError
from p2i_ray.run import job_output
from p2i_ray.storage import locations


class EvaluateJob(PaintingJobConfig):
    """The settings of the evaluate job."""

    data: str = Field(description="EPBD folder, a path or URI")
    split: str = Field(
        "test", description="pictures are generated for its products; FID compares with its own pictures"
    )
    model: str = Field(
        description="model folder, a path or URI; for method=lama its ONNX file, for method=given pictures"
    )
    methods: str = Field(
        "fid,clip_c_i,clip_c_b", description="metrics, with commas between: see docs/training.md for all of them"
    )
    out: str = Field(description="folder for generated pictures and figures, a path or URI; new, or to be added to")


class ComparisonJob(Config):
    """Evaluations to compare."""

    data: str = Field(description="EPBD folder, a path or URI")
    baseline: BaselineConfig = BaselineConfig()
    generators: GeneratorsConfig = GeneratorsConfig()
    comparison: ComparisonConfig = ComparisonConfig()
    out: str = Field(description="folder of runs, pictures and tables, a path or URI; the same command goes on there")


class TableJob(Config):
    """The content of a table."""

    evaluated: str = Field(description="out folders of evaluations, with commas between")
    methods: str = Field("", description="metrics, with commas between (none: all of the first evaluation)")
    paired: bool = Field(False, description="show the difference of each evaluation to the first on the same products")


class ClustersJob(Config):
    """The content of the figure."""

    evaluated: str = Field(description="out folders of evaluations with category_distance, with commas between")
    out: str = Field(description="PNG file to write; it is replaced")
    categories: int = Field(10, ge=2, description="categories that are shown: those with most painted pictures")


def run(job: EvaluateJob) -> None:
    """Run the job."""
    from p2i_ray.comparison import further
    from p2i_ray.comparison.evaluation import Evaluation, engines_of
    from p2i_ray.evaluate import measure
    from p2i_ray.generators.methods import method_of
    from p2i_ray.steps import trained_clip

    data, model, out = locations.absolute(job.data), locations.absolute(job.model), locations.absolute(job.out)
    painting = method_of(job, data, job.split, model=model)
    metrics = measure.known([name.strip() for name in job.methods.split(",") if name.strip()])
    evaluation = Evaluation(job, data, job.split, model=model, painting=painting, metrics=metrics)
    before = further.recorded(out)
    job_output.check(out, "evaluate", adds=before is not None)
    if before:
        evaluation = further.lacking(evaluation, before, out)
    preset_data.ready(job, data)
    evaluation.check()
    trained_clip.warn(job, metrics)
    if before:
        further.check(evaluation, out)
    judge = evaluation.judge(locations.join(out, "judge-cache")) if evaluation.judged else None
    preflight.check_rights(out)
    connection.connect(job.ray)
    preflight.check(evaluation.phases, writes=[out], reads=evaluation.reads)
    with job_output.held(out, "evaluate", adds=before is not None), engines_of(judge):
        if before:
            figures = further.measure(evaluation, before, out, judge=judge)
        else:
            figures = evaluation.measure(*evaluation.paint(out), out, judge)
    width = max(map(len, figures)) + 1
    for name, value in figures.items():
        print(f"{name:<{width}}{value:g}")


def show_table(job: TableJob) -> None:
    """Print a table of evaluations."""
    from p2i_ray.evaluate import record, table
    from p2i_ray.evaluate.catalogue import known

    names = [name.strip() for name in job.methods.split(",") if name.strip()]
    records = {folder: record.read(folder) for folder in folders_of(job.evaluated)}
    show = table.differences if job.paired else table.lines
    print("\n".join(show(records, known(names) if names else ())))


def folders_of(evaluated: str) -> list[str]:
    """The folders of evaluations that a setting names, each once."""
    folders = [locations.absolute(one.strip()) for one in evaluated.split(",") if one.strip()]
    if not folders:
        raise UserError("evaluated= names no folder; give the out= folders of evaluations, with commas between")
    if twice := [folder for place, folder in enumerate(folders) if folder in folders[:place]]:
        raise UserError(f"evaluated= names {twice[0]} twice; name each evaluation once")
    return folders


def draw_clusters(job: ClustersJob) -> None:
    """Draw the figure of clusters, and print its numbers."""
    from p2i_ray.evaluate import cluster_figure, clusters, names, record, table
    from p2i_ray.evaluate.metrics.category_distance import NAME

    folders, out = folders_of(job.evaluated), locations.absolute(job.out)
    if not out.lower().endswith(".png"):
        raise UserError(f"out={job.out} is written as a PNG; give a name that ends in .png")
    found = clusters.points(folders, job.categories)
    records = {folder: record.read(folder) for folder in folders}
    lines = table.lines(records, (NAME,), besides=table.PICTURES)  # points are drawn, however many there are
    short = names.short(folders)
    labels = {
        folder: f"{short[folder]}: {NAME} {table.cell(folder, NAME, one.metrics[NAME], is_counted=True)}"
        for folder, one in records.items()
    }
    locations.write_bytes(out, cluster_figure.draw(found, labels))
    print("\n".join([*lines, f"figure  {out}"]))


def compare(job: ComparisonJob) -> None:
    """Run a comparison, or go on with it, and write its tables."""
    from p2i_ray.comparison import page
    from p2i_ray.comparison.compare import Comparison

    data, out = locations.absolute(job.data), locations.absolute(job.out)
    preset_data.ready(job, data)
    comparison = Comparison(job, job.comparison, job.baseline, job.generators, data=data, out=out)
    comparison.check()
    with comparison.held():
        comparison.run()
        tables = page.write(comparison)
    print(locations.read_text(tables), end="")
    print(f"page  {locations.join(out, page.PAGE)}")


TABLES = AlternativeAction(
    "--tables", "compare the loop with other arms and methods: the paper's tables and figures", ComparisonJob, compare
)
TABLE = AlternativeAction("--table", "print a table of finished evaluations (evaluated=) instead", TableJob, show_table)
CLUSTERS = AlternativeAction(
    "--clusters", "draw backgrounds around their categories' centres (t-SNE) instead", ClustersJob, draw_clusters
)

if __name__ == "__main__":
    main(EvaluateJob, __doc__, run, instead=[TABLE, TABLES, CLUSTERS])
