"""A cascade against the full judge on the same rows: the LMM calls that it saves, and its agreement.

The pictures are held-out samples of the toy world, with flaws as in its training split, and not those on which the
head's form was chosen. Agreement counts all rows that the head was not fitted on, including those that the LMM scored.
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
CLIP = "p2i_ray/mini/weights/evaluator_clip"  # the diffusion model's CLIP finds wrong scenes less reliably
SEED = 0


def run() -> dict[str, float]:
    """The fraction of calls saved, the agreement with the full judge, and the agreement that the cascade reported."""
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
        cascaded = cascade.score(
            rows,
            f"{out}/cascade",
            ask=lambda some, folder, progress: judge.score(some, folder, progress=progress),
            gamma=config.idr.gamma,
            settings=settings,
            image=config.image,
            seed=SEED,
        )
        full_scores, cascaded_scores = (
            parquet.read_parquet(f"{out}/{name}", written.files, ["id", "score"])
            for name, written in (("full", full), ("cascade", cascaded))
        )
    ray.shutdown()
    return {
        "cascade_calls_saved": cascaded.facts["saved_share"],
        "cascade_agreement": agreement(full_scores, cascaded_scores, config.idr.gamma),
        "cascade_agreement_held_out": cascaded.facts["agreement_held_out"],
    }


def agreement(full: pa.Table, cascaded: pa.Table, gamma: float) -> float:
    """The fraction of rows outside the sample that both keep or both drop; tables are sorted by id."""
    assert full["id"].equals(cascaded["id"])
    outside = pa.array(~hashed_below(full["id"], SAMPLE / full.num_rows, SEED, "cascade"))
    kept, kept_cascaded = (
        pc.fill_null(pc.greater_equal(table.filter(outside)["score"], gamma), False) for table in (full, cascaded)
    )
    return float(pc.mean(pc.equal(kept, kept_cascaded)).as_py())
