"""The export job, on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import export, ingest
from p2i_ray.console.cli import main
from p2i_ray.data import writing
from p2i_ray.data.schema import INGESTED
from p2i_ray.data.sources import source
from p2i_ray.run import job_output
from tests.support.epbd_row import row


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    return ["--config", "mini", f"data={data}", f"out={out}", *more]


def test_every_row_is_exported_once(tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for ids in ("ab", "cd"):
        writing.write_shard([row(id, f"Mug {id}") for id in ids], str(data / "train"), INGESTED)
    writing.write_shard([row("e", "Lamp", scene=False), row("f", " ")], str(data / "test"), INGESTED)
    main(export.ExportJob, None, export.run, arguments(data, out, "format=imagefolder"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "train 4 test_without_scene 1 set aside: the product has no name 1" in shown
    found = source.read(str(out)).rows
    assert sorted(found["id"].to_pylist()) == [*"abcde"]
    assert sorted(file.name for file in out.iterdir()) == ["README.md", "rejected.csv", "test_without_scene", "train"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("format=zip", "setting format='zip': Input should be 'webdataset' or 'imagefolder'"),
        ("data=/nowhere", "data /nowhere is not there"),
        ("out=/tmp", "/tmp is there already"),
    ],
)
def test_a_mistake_is_one_line_before_ray_starts(
    change: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writing.write_shard([row("a", "Mug")], str(tmp_path / "data" / "train"), INGESTED)
    with pytest.raises(SystemExit) as stop:
        given = arguments(tmp_path / "data", tmp_path / "out", "format=webdataset", change)
        main(export.ExportJob, None, export.run, given)
    assert stop.value.code == 2 and says in capsys.readouterr().err


def test_a_part_of_an_export_is_not_ingested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be taken for all of it."""
    tars = tmp_path / "tars"
    with pytest.raises(KeyboardInterrupt), job_output.held(str(tars), "export"):
        (tars / "train-000000.tar").touch()
        raise KeyboardInterrupt
    with pytest.raises(SystemExit) as stop:
        given = ["--config", "mini", f"source={tars}", f"out={tmp_path / 'data'}"]
        main(ingest.IngestJob, None, ingest.run, given)
    assert stop.value.code == 2 and "is not finished by the job that writes it (export)" in capsys.readouterr().err
