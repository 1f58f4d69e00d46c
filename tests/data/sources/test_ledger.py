"""The ledger: what it keeps, and with which settings rows are added."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import ImageConfig
from p2i_ray.data import writing
from p2i_ray.data.sources import ledger
from p2i_ray.data.sources.tasks import IngestConfig, Plan
from p2i_ray.data.splits import SplitConfig
from p2i_ray.errors import UserError

LINE = {
    "id": "a", "file": "a.jpg", "mask": "", "cutout": "a.png", "group": None, "name": "Mug", "category": "Cup"
}  # fmt: skip
FOUND = {"fingerprint": b"x", "scene": True, "product": "name:mug", "split": "train"}


def plan(out: Path, **changes: object) -> Plan:
    basis = {"settings": IngestConfig(), "image": ImageConfig(), "seed": 0}
    return Plan("/photos", str(out), **{**basis, **changes})  # type: ignore[arg-type]


def test_lines_of_several_ingestions_are_read_together(tmp_path: Path) -> None:
    import pyarrow as pa

    assert not ledger.is_there(str(tmp_path)) and ledger.read(str(tmp_path)).num_rows == 0
    for id in "ab":
        lines = pa.Table.from_pylist([{**LINE, **FOUND, "id": id}], schema=ledger.schema())
        assert len(ledger.write(lines, plan(tmp_path), str(tmp_path))) == 2
    assert ledger.write(lines.slice(0, 0), plan(tmp_path), str(tmp_path)) == [ledger.SETTINGS]
    assert ledger.is_there(str(tmp_path))
    assert sorted(ledger.read(str(tmp_path))["id"].to_pylist()) == ["a", "b"]


def test_lines_of_an_earlier_version_do_not_say_what_was_beside_the_photo(tmp_path: Path) -> None:
    import pyarrow as pa

    old = pa.Table.from_pylist([{**LINE, **FOUND}], schema=ledger.schema()).drop_columns(list(ledger.BESIDE))
    writing.write_shard(old, str(tmp_path / ledger.FOLDER), old.schema)
    ledger.write(
        pa.Table.from_pylist([{**LINE, **FOUND, "id": "b"}], schema=ledger.schema()), plan(tmp_path), str(tmp_path)
    )
    found = {line["id"]: (line["mask"], line["cutout"]) for line in ledger.read(str(tmp_path)).to_pylist()}
    assert found == {"a": (None, None), "b": ("", "a.png")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, "seed=0, and not 1: rows are added with the same source and settings alone"),
        ({"settings": IngestConfig(split=SplitConfig(validation=9))}, "ingest.split.validation=0.01, and not 9.0"),
        ({"image": ImageConfig(resolution=64)}, "image.resolution=512, and not 64"),
    ],
)
def test_other_settings_are_one_line(tmp_path: Path, change: dict[str, object], says: str) -> None:
    ledger.write(ledger.schema().empty_table(), plan(tmp_path), str(tmp_path))
    ledger.check(plan(tmp_path))
    ledger.check(plan(tmp_path, settings=IngestConfig(rows_per_file=9, lossless=True)))
    with pytest.raises(UserError, match=says):
        ledger.check(plan(tmp_path, **change))
