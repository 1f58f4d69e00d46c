"""Work done ahead of its turn."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from p2i_ray.config import Config, load
from p2i_ray.run.folder import Counts, Run
from p2i_ray.steps import ahead
from p2i_ray.steps.ahead import Judged
from p2i_ray.steps.painting import encode
from p2i_ray.storage import locations
from p2i_ray.storage.parquet import write_table


def test_a_file_is_handed_on_once_all_of_its_rows_are_judged() -> None:
    judged = Judged({"one": ["a", "b", "c"], "two": ["d"], "three": ["e"]})
    assert judged.add(["a", "c"], ["c"]) == []
    assert judged.add(["d"], []) == [("two", [])]
    assert judged.add(["e", "b"], ["e", "b"]) == [("three", ["e"]), ("one", ["c", "b"])]


def test_rows_that_will_be_kept_are_encoded_while_others_are_judged(
    ray_cluster: None, mini_data: str, tmp_path: Path
) -> None:
    """A third of the rows is kept, in whichever file of scores they come."""
    run = Run.open(str(tmp_path / "run"), load(Config, "mini"))
    ids = pq.read_table(f"{mini_data}/train", columns=["id"])["id"].to_pylist()
    scores = [5 if number % 3 == 0 else 2 for number in range(len(ids))]

    def score(out: str) -> Counts:
        locations.make_folder(out)
        table = pa.table({"id": ids, "score": scores, "expected_score": [float(score) for score in scores]})
        for start in (0, 50):
            write_table(table.slice(start, 50 if start == 0 else None), f"{out}/part-{start}.parquet")
        return Counts(rows_out=len(ids))

    def select(out: str) -> Counts:
        write_table(pa.table({"id": ids[::3]}), out)
        return Counts(rows_out=len(ids[::3]))

    with ahead.encoding(run, 1, mini_data):
        run.once(1, "score", "scores", score)
        run.once(1, "select", "kept.parquet", select)
    facts = encode(run, mini_data).facts
    assert (facts["encoded"], facts["reused"]) == (0, 40)


def test_nothing_is_encoded_early_where_the_ranking_decides(ray_cluster: None, mini_data: str, tmp_path: Path) -> None:
    for name, setting in (("ranked", "idr.keep_fraction=0.5"), ("off", "idr.overlap=false")):
        run = Run.open(str(tmp_path / name), load(Config, "mini", [setting]))
        with ahead.encoding(run, 1, mini_data):
            pass
        assert not locations.exists(str(tmp_path / name / "feature-cache"))
