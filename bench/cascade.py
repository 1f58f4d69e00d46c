"""A cascade against the full judge on the same rows: how many LMM calls it saves, and how often it decides alike.

The pictures are held-out samples of the toy world, with flaws as in its training split, and not those on which the
head's form was chosen. Agreement is counted on all rows that the head didn't learn from, the LMM's own included.
"""

from __future__ import annotations

import tempfile

import pyarrow as pa
import pyarrow.compute as pc

from p2i_ray.cluster import connection
from p2i_ray.config import Config, load
from p2i_ray.judge.cascade.learning import hashed_below
from p2i_ray.mini.data import row
from p2i_ray.mini.judge_checks import HELD_OUT
from p2i_ray.mini.world import NATURAL, render
from p2i_ray.storage import parquet

ROWS, SAMPLE = 3000, 800
FIRST = 80_000  # index of the first picture, beyond those of other checks
CLIP = "p2i_ray/mini/weights/evaluator_clip"  # the painter's finds wrong scenes less surely
SEED = 0


def run() -> dict[str, float]:
    """The share of calls saved, the agreement with the full judge, and the agreement that the cascade claimed."""
    import ray

    from p2i_ray.judge.cascade import cascade
    from p2i_ray.judge.judge import Judge

    config = load(Config, "mini")
    connection.connect(config.ray)
    settings = config.judge.model_copy(
        update={"cascade": config.judge.cascade.model_copy(update={"clip": CLIP, "sample": SAMPLE})}
    )
    samples = [row(render(HELD_OUT, FIRST + index, NATURAL)) for index in range(ROWS)]
    rows = ray.data.from_items(samples, override_num_blocks=ROWS // 250).materialize()
    with tempfile.TemporaryDirectory() as out, Judge(config.judge, config.image) as judge:
        full = judge.score(rows, f"{out}/full")
        cheaper = cascade.score(
            rows, f"{out}/cascade", config.idr.gamma, settings, config.image, SEED,
            ask=lambda some, folder, progress: judge.score(some, folder, progress=progress),
        )  # fmt: skip
        full_scores, cheaper_scores = (
            parquet.read_parquet(f"{out}/{name}", written.files, ["id", "score"])
            for name, written in (("full", full), ("cascade", cheaper))
        )
    ray.shutdown()
    return {
        "cascade_calls_saved": cheaper.facts["saved_share"],
        "cascade_agreement": agreement(full_scores, cheaper_scores, config.idr.gamma),
        "cascade_agreement_held_out": cheaper.facts["agreement_held_out"],
    }


def agreement(full: pa.Table, cheaper: pa.Table, gamma: float) -> float:
    """Of the rows outside the sample, the share that both keep or both drop; tables are sorted by id."""
    assert full["id"].equals(cheaper["id"])
    outside = pa.array(~hashed_below(full["id"], SAMPLE / full.num_rows, SEED, "cascade"))
    kept, kept_cheaper = (
        pc.fill_null(pc.greater_equal(table.filter(outside)["score"], gamma), False) for table in (full, cheaper)
    )
    return float(pc.mean(pc.equal(kept, kept_cheaper)).as_py())
