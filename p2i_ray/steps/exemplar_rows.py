"""c_R out of a round's own scores: the rows that `exemplars.choose` picks, fetched from the data and written down."""

from __future__ import annotations

import pyarrow as pa

from p2i_ray.data import reading
from p2i_ray.judge.requests import exemplars
from p2i_ray.storage import locations, parquet

FILE = "exemplars.parquet"


def choose_from(data: str, folder: str, files: list[str], number: int, out: str) -> int:
    """Write <out>/exemplars.parquet, which `exemplars.read` reads; returns how many there are.

    Args:
        data: EPBD folder.
        folder: scores.
        files: of them, those that count.
        number: how many exemplars.
        out: location of the folder to write.
    """
    chosen = exemplars.choose(parquet.read_parquet(folder, files, ["id", "score", "entropy"]), number)
    listed = locations.join(out, "ids.parquet")
    parquet.write_table(pa.table({"id": pa.array([id_ for id_, _ in chosen], pa.string())}), listed)
    rows = reading.read_split(data, "train", keep=listed, columns=["id", "name", "image"]).take_all()
    found = {row["id"]: row for row in rows}
    shown = [{**found[id_], "score": score} for id_, score in chosen]
    parquet.write_table(pa.Table.from_pylist(shown), locations.join(out, FILE))
    return len(shown)
