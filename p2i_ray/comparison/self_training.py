"""The arm that trains on pictures of its own: the base model paints products several times, the judge picks the best.

It has the compute of the other arms. In passes of one picture through the denoiser, a picture that is trained on costs
three (forward, and backward as two), and one that is painted one a step, two with guidance. So of a budget of
3 x steps x batch the share comparison.painting_share is painted, and the rest trained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.comparison.evaluation import PORTIONS
from p2i_ray.config import Config
from p2i_ray.config.comparison import ComparisonConfig
from p2i_ray.config.seeds import seed_for
from p2i_ray.console.progress import phase
from p2i_ray.errors import UserError
from p2i_ray.storage import locations, parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from p2i_ray.judge.judge import Judge

TRAINED = 3  # passes of a picture that is trained on
COPY = "#"  # between a product's id and the number of its picture
NOTE = "self-training.json"  # written last


class Budget(NamedTuple):
    """The arm's limits."""

    products: int  # each painted comparison.best_of times
    steps: tuple[int, ...]  # of training, in each round


def budget(config: Config, comparison: ComparisonConfig, rows: int) -> Budget:
    """The arm's budget.

    Args:
        config: the other arms' settings.
        comparison: of the comparison.
        rows: of the training split.

    Raises:
        UserError: it is too small for a batch.
    """
    generate, steps = config.generate, config.idr.steps[: config.idr.rounds]
    passes = TRAINED * sum(steps) * config.train.batch_size
    picture = generate.num_inference_steps * (2 if generate.guidance_scale > 1 else 1)
    products = min(rows, int(passes * comparison.painting_share / picture / comparison.best_of))
    if products < config.train.batch_size:
        raise UserError(
            f"it could paint {products} products {comparison.best_of} times, fewer than "
            f"train.batch_size={config.train.batch_size}; raise idr.steps, lower generate.num_inference_steps or "
            "comparison.best_of, or leave it out of comparison.arms"
        )
    return Budget(products, tuple(max(1, round(number * (1 - comparison.painting_share))) for number in steps))


def data_of(own: Budget, config: Config, comparison: ComparisonConfig, *, data: str, out: str, judge: Judge) -> str:
    """The data folder of the arm, made unless it is done: its training split is the best of the model's own pictures.

    Args:
        own: the arm's budget.
        config: the other arms' settings, with the seed.
        comparison: of the comparison.
        data: location of the EPBD folder.
        out: the arm's folder.
        judge: that picks.

    Returns:
        Location of the folder, which has the development split, too.

    Raises:
        UserError: it is there, and was painted with other settings.
    """
    made, note = locations.join(out, "data"), locations.join(out, NOTE)
    asked = _asked(own, config, comparison)
    if locations.exists(note):
        before = json.loads(locations.read_text(note))
        if others := [name for name, value in asked.items() if before.get(name, value) != value]:
            raise UserError(
                f"{out} has pictures that were painted with other settings ({', '.join(others)}); change them back, or "
                "give another out"
            )
        return made
    locations.remove(out)
    ids = _products(data, own.products, config.seed)
    listed = locations.join(out, "products.parquet")
    parquet.write_table(_ids(ids), listed)
    painted, files = _paint(data, listed, config=config, comparison=comparison, out=out)
    best = _best(painted, files, judge, locations.join(out, "scores"))
    chosen = locations.join(out, "chosen.parquet")
    parquet.write_table(_ids(sorted(best)), chosen)
    rows = _write(painted, files, best=best, folder=locations.join(made, "train"))
    _copy_split(data, made, config.idr.dev_split)
    locations.write_text(note, json.dumps({**asked, "rows": rows}))
    return made


def _asked(own: Budget, config: Config, comparison: ComparisonConfig) -> dict[str, object]:
    """Facts that the pictures depend on and the arm's run doesn't record; as JSON has them."""
    generate = {f"generate.{name}": value for name, value in config.generate.model_dump(mode="json").items()}
    painted = {name: value for name, value in generate.items() if name.partition(".")[2] not in PORTIONS}
    budgeted = {"products": own.products, "steps": list(own.steps)}
    return {**budgeted, "comparison.best_of": comparison.best_of, **painted}


def _ids(ids: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"id": pa.array(ids, pa.string())})


def _products(data: str, count: int, seed: int) -> list[str]:
    """Ids of so many rows of the training split, those with the lowest hashes."""
    from p2i_ray.data import reading

    ids = [id_ for file in reading.split_files(data, "train") for id_ in reading.ids_of(file)]
    return sorted(sorted(ids, key=lambda id_: seed_for(seed, "self-training", id_))[:count])


def _paint(data: str, listed: str, *, config: Config, comparison: ComparisonConfig, out: str) -> tuple[str, list[str]]:
    """Paint each listed product several times by the base model; the folder and its files."""
    from p2i_ray.data import reading
    from p2i_ray.diffusion.baselines.methods import Painting
    from p2i_ray.diffusion.sampling import generate

    copies, folder = comparison.best_of, locations.join(out, "painted")
    rows = reading.read_split(data, "train", keep=listed, columns=["id", "name", "category", "cutout"])
    every = rows.flat_map(lambda row: [{**row, "id": f"{row['id']}{COPY}{number}"} for number in range(copies)])
    with phase("paint own pictures", None) as progress:
        written = generate.generate(
            every,
            locations.absolute(config.diffusion.base),
            folder,
            settings=config.generate,
            image=config.image,
            painting=Painting(config.diffusion),
            seed=config.seed,
            progress=progress,
        )
    return folder, written.files


def _best(painted: str, files: list[str], judge: Judge, out: str) -> set[str]:
    """Ids of the pictures that the judge finds the best of each product."""
    from p2i_ray.data import reading

    with phase("score own pictures", None) as progress:
        written = judge.score(reading.read_files(painted, files), out, progress=progress)
    return best_of(parquet.read_parquet(out, written.files, ["id", "score", "expected_score"]))


def best_of(scores: pa.Table) -> set[str]:
    """Ids of each product's picture with the highest score; of equals the first. A product without a score has none.

    Args:
        scores: `id`, `score` and `expected_score`, in order of ids. Without an expected score the whole one counts.
    """
    best: dict[str, tuple[float, str]] = {}
    for row in scores.to_pylist():
        product = row["id"].rpartition(COPY)[0]
        score = row["score"] if row["expected_score"] is None else row["expected_score"]
        if score is not None and (product not in best or score > best[product][0]):
            best[product] = (score, row["id"])
    return {id_ for _, id_ in best.values()}


def _write(painted: str, files: list[str], *, best: set[str], folder: str) -> int:
    """Write the chosen pictures as a training split; returns the number of its rows."""
    from p2i_ray.data import reading
    from p2i_ray.data.schema import SCHEMA

    rows = reading.read_files(painted, files).filter(lambda row: row["id"] in best)
    named = rows.map(lambda row: {**row, "id": row["id"].rpartition(COPY)[0]}).select_columns(SCHEMA.names)
    return parquet.write_parquet(named, folder, SCHEMA).rows


def _copy_split(data: str, made: str, split: str) -> None:
    from p2i_ray.data import reading

    for file in reading.split_files(data, split):
        name = file.rpartition("/")[2]
        locations.write_bytes(locations.join(made, split, name), locations.read_bytes(file))
