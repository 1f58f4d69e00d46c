"""Joining pairs: each with its own two pictures, whatever split and file they lie in; what is left out is counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import load
from p2i_ray.data import pair_list, pairs, publishing, reading
from p2i_ray.data.pair_list import Pair
from p2i_ray.data.schema import REFERENCES, REJECTED, REJECTED_SCHEMA, SCHEMA
from p2i_ray.errors import UserError
from p2i_ray.storage import locations
from tests.support.load_job import load_job

if TYPE_CHECKING:
    from chaos.bucket import Bucket


def row(id_: str, *, scene: bool = True) -> dict[str, Any]:
    picture = {"bytes": f"picture of {id_}".encode(), "path": None}
    cutout = {"bytes": f"cutout of {id_}".encode(), "path": None}
    return {"id": id_, "name": "own", "category": "own", "image": picture if scene else None, "cutout": cutout}


def write(folder: Path, split: str, name: str, *rows: dict[str, Any]) -> None:
    (folder / split).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), folder / split / name)


def reject(folder: Path, **reasons: str) -> None:
    lines = [{"id": id_.replace("_", "-"), "source": "", "reason": reason} for id_, reason in reasons.items()]
    (folder / REJECTED).mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(lines, REJECTED_SCHEMA), folder / REJECTED / "0.parquet")


def test_each_pair_has_its_own_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More than one file of pairs; pictures are products and references, of several pairs."""
    data, numbers = tmp_path / "data", range(1, 71)
    write(data, "train", "0.parquet", *(row(f"bg1k-{n}") for n in numbers if n % 2))
    write(data, "train", "1.parquet", *(row(f"bg1k-{n}") for n in reversed(numbers) if n % 2 == 0))
    write(data, "test", "0.parquet", row("bg1k-0"))
    listed = [Pair(f"bgpair-{n}", f"bg1k-{n}", f"bg1k-{n - 1 if n % 3 else 0}", f"sofa {n}") for n in numbers]
    pair_list.write(listed, str(data))
    job = load_job("pairs")
    asked = load(job.PairsJob, "mini", [f"data={data}", f"out={tmp_path / 'out'}"])
    job.run(asked)
    found = pq.read_table(tmp_path / "out" / "test")
    assert found.column_names == [*SCHEMA.names, *REFERENCES.names]
    assert found["id"].to_pylist() == [f"bgpair-{n}" for n in numbers]
    for n, one in zip(numbers, found.to_pylist(), strict=True):
        reference = n - 1 if n % 3 else 0
        assert one["name"] == one["category"] == f"sofa {n}"
        assert one["image"]["bytes"] == f"picture of bg1k-{n}".encode()
        assert one["cutout"]["bytes"] == f"cutout of bg1k-{n}".encode()
        assert one["reference"]["bytes"] == f"picture of bg1k-{reference}".encode()
        assert one["reference_cutout"]["bytes"] == f"cutout of bg1k-{reference}".encode()
    assert len(reading.split_files(str(tmp_path / "out"), "test")) == 2
    assert "pairs      70\njoined     70\nleft out   0\nwritten    /" in capsys.readouterr().out
    with pytest.raises(UserError, match="is there already; give another out"):
        job.run(asked)


def test_every_pair_that_is_left_out_has_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    write(data, "test", "0.parquet", row("bg1k-1"), row("bg1k-2"), row("bg1k-3", scene=False))
    reject(data, bg1k_4="file missing: it is not in source", bg1k_5="empty name")
    listed = [
        Pair("bgpair-1", "bg1k-1", "bg1k-2", "sofa"),
        Pair("bgpair-2", "bg1k-1", "bg1k-2", "sofa", "repeated pair: line 1 has it"),
        Pair("bgpair-3", "bg1k-3", "bg1k-1", "sofa"),  # a cutout without a scene can be painted
        Pair("bgpair-4", "bg1k-1", "bg1k-3", "sofa"),
        Pair("bgpair-5", "bg1k-4", "bg1k-5", "sofa"),
        Pair("bgpair-6", "bg1k-1", "bg1k-5", "sofa"),
        Pair("bgpair-7", "bg1k-1", "bg1k-6", "sofa"),
        Pair("bgpair-8", "bg1k-4", "bg1k-1", "sofa"),
        Pair("bgpair-9", reason="bad row: 1 fields"),
    ]
    pair_list.write(listed, str(data))
    left_out = {
        "bgpair-2": "repeated pair: line 1 has it",
        "bgpair-4": "no scene: reference bg1k-3 is a cutout alone",
        "bgpair-5": "file missing: picture bg1k-4, it is not in source",
        "bgpair-6": "empty name: reference bg1k-5",
        "bgpair-7": "not in the data: reference bg1k-6, it is in no split",
        "bgpair-8": "file missing: picture bg1k-4, it is not in source",
        "bgpair-9": "bad row: 1 fields",
    }
    assert pairs.join(str(data), str(tmp_path / "out")) == (2, left_out)
    found = pq.read_table(tmp_path / "out" / "test").to_pylist()
    assert [(one["id"], one["image"] is None) for one in found] == [("bgpair-1", False), ("bgpair-3", True)]
    job = load_job("pairs")
    job.run(load(job.PairsJob, "mini", [f"data={data}", f"out={tmp_path / 'again'}"]))
    shown = " ".join(capsys.readouterr().out.split())
    assert "pairs 9 joined 2 left out 7 repeated pair 1: bgpair-2 (line 1 has it)" in shown
    assert "file missing 2: bgpair-5 (picture bg1k-4, it is not in source); bgpair-8 " in shown


def test_without_pairs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data, "train", "0.parquet", row("bg1k-1"))
    with pytest.raises(
        UserError, match=r"has no pairs \(pairs.json\); ingest a source with bgpair_info.txt into a new"
    ):
        pairs.join(str(data), str(tmp_path / "out"))
    pair_list.write([Pair("bgpair-1", "bg1k-1", "bg1k-2", "sofa")], str(data))
    with pytest.raises(UserError, match="none of 1 pairs can be joined; bgpair-1: not in the data: reference bg1k-2"):
        pairs.join(str(data), str(tmp_path / "out"))


@pytest.mark.parametrize("in_a_bucket", [False, True])
def test_an_interrupted_joining_is_taken_for_nothing_and_begun_anew(
    in_a_bucket: bool, tmp_path: Path, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, numbers = tmp_path / "data", range(pairs.BATCH + 6)
    out = f"{s3_bucket.uri}/joined pairs" if in_a_bucket else str(tmp_path / "out")
    write(data, "test", "0.parquet", *(row(f"bg1k-{n}") for n in numbers))
    pair_list.write([Pair(f"bgpair-{n}", f"bg1k-{n}", "bg1k-0", "sofa") for n in numbers], str(data))
    job = load_job("pairs")
    asked = load(job.PairsJob, "mini", [f"data={data}", f"out={out}/"])

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    for module, name in ((pairs, "_without_scene"), (publishing, "publish"), (publishing, "finish")):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            if name == "_without_scene":  # of the second batch
                patched.setattr(module, name, lambda some, _: {} if len(some) == pairs.BATCH else interrupt())
            else:
                patched.setattr(module, name, interrupt)
            job.run(asked)
        with pytest.raises(UserError, match="has no split 'test'"):
            reading.split_files(out, "test")
    job.run(asked)
    ids = [id_ for file in reading.split_files(out, "test") for id_ in reading.ids_of(file)]
    assert ids == [f"bgpair-{n}" for n in numbers]
    filesystem, path = locations.open_location(out)
    assert [found.rpartition("/")[2] for found in filesystem.ls(path, detail=False)] == ["test"]
