"""Exemplars: c_R of the next round, the surest and the most doubtful rows of this one.

<out>/exemplars.parquet   name, image and score, as judge.exemplars takes them
"""

from __future__ import annotations

import pyarrow as pa

from p2i_ray.data import reading
from p2i_ray.errors import UserError
from p2i_ray.judge.requests import exemplars
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import EXEMPLARS
from p2i_ray.steps.round import Exemplars, Output, Round
from p2i_ray.storage import locations, parquet

FILE = "exemplars.parquet"


def choose_exemplars(this: Round, scores: Output, before: Exemplars) -> Exemplars:
    """Choose the next round's exemplars, if the settings want any; else those of before stay."""
    config = this.run.config
    if not EXEMPLARS.wanted(config, this.number):
        return before

    def work(out: str) -> Counts:
        chosen = write_chosen(scores, this.data, config.idr.exemplars, out)
        return Counts(rows_in=scores.rows, rows_out=chosen)

    this.once(EXEMPLARS, work)
    return exemplars.read(this.path(EXEMPLARS.output, FILE), config.image, config.judge.max_name_chars)


def write_chosen(scores: Output, data: str, number: int, out: str) -> int:
    """Write <out>/exemplars.parquet, which `exemplars.read` reads; returns how many there are.

    Args:
        scores: a round's.
        data: EPBD folder.
        number: of exemplars wanted.
        out: location of the folder to write.

    Raises:
        UserError: a chosen row isn't in the data.
    """
    chosen = exemplars.choose(parquet.read_parquet(scores.location, scores.files, ["id", "score", "entropy"]), number)
    listed = locations.join(out, "ids.parquet")
    parquet.write_table(pa.table({"id": pa.array([id_ for id_, _ in chosen], pa.string())}), listed)
    rows = reading.read_split(data, "train", keep=listed, columns=["id", "name", "image"]).take_all()
    found = {row["id"]: row for row in rows}
    if missing := [id_ for id_, _ in chosen if id_ not in found]:
        raise UserError(f"the row {missing[0]}, chosen as an exemplar, is not in {data}/train; did the data change?")
    shown = [{**found[id_], "score": score} for id_, score in chosen]
    parquet.write_table(pa.Table.from_pylist(shown), locations.join(out, FILE))
    return len(shown)
