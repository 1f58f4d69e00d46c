"""BG-Pair from its list to joined pairs: pictures that several pairs share, a repeated line, and a missing file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import ingest
from p2i_ray.console.cli import main
from p2i_ray.data.schema import SPLITS
from tests.support.load_job import load_job

PAIRS = ((100, 101), (102, 101), (104, 101), (105, 100), (106, 107), (100, 101))
NUMBERS = sorted({number for pair in PAIRS for number in pair})


def write(source: Path, number: int) -> None:
    """A photo of noise around a level of its own, and its cutout."""
    side, level = 64, 30 * (number - 100)
    pixels = np.random.default_rng(number).integers(level, level + 40, (side, side, 3), np.uint8)
    alpha = np.zeros((side, side, 1), np.uint8)
    alpha[16:48, 16:48] = 255
    for folder, name, content in (("imgs", number, pixels), ("masks", f"{number}_mask", np.dstack([pixels, alpha]))):
        place = source / f"bg1k_{folder}_{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(place / f"{name}.png")


def level(picture: dict) -> int:
    """Which of the photos it is, by its mean level."""
    return 100 + round((np.asarray(Image.open(io.BytesIO(picture["bytes"]))).mean() - 20) / 30)


def rows_of(folder: Path, *parts: str) -> list[dict]:
    files = [file for part in parts for file in sorted((folder / part).glob("*.parquet"))]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_every_pair_of_the_list_is_joined_or_left_out_with_a_reason(
    tmp_path: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    source, data, listed = tmp_path / "BG-Pair", tmp_path / "data", tmp_path / "BG-Pair" / "bgpair_info.txt"
    for number in NUMBERS:
        write(source, number)
    listed.write_text("".join(f"{a}.png\t{b}.png\tsofa\n" for a, b in PAIRS))
    arguments = ["--config", "mini", f"source={source}", f"names={listed}", f"out={data}"]
    job = load_job("pairs")

    def run(out: str) -> tuple[list[tuple[str, int, int]], str]:
        """Ingest and join: id, product and reference of each pair, and what was printed."""
        main(ingest.IngestJob, ingest.__doc__, ingest.run, arguments)
        assert sorted(row["id"] for row in rows_of(data, *SPLITS)) == [f"bg1k-{number}" for number in NUMBERS]
        main(job.PairsJob, job.__doc__, job.run, ["--config", "mini", f"data={data}", f"out={tmp_path / out}"])
        joined = rows_of(tmp_path / out, "test")
        return [(row["id"], level(row["image"]), level(row["reference"])) for row in joined], capsys.readouterr().out

    wanted = [(f"bgpair-{line}", *pair) for line, pair in enumerate(PAIRS[:5], start=1)]
    joined, shown = run("first")
    assert joined == wanted and "rejected: repeated pair 1 " in " ".join(shown.split())
    assert " ".join(shown.split()).endswith(
        "pairs 6 joined 5 left out 1 repeated pair 1: bgpair-6 (line 1 has it) written " + str(tmp_path / "first")
    )
    before = {file: file.read_bytes() for split in SPLITS for file in (data / split).glob("*.parquet")}
    with listed.open("a") as lines:  # the same command again, with one more pair, of which one picture is missing
        lines.write("100.png\t108.png\tsofa\n")
    for out in ("second", "third"):
        joined, shown = run(out)
        assert joined == wanted and "joined     5\nleft out   2\n" in shown
        assert "bgpair-7 (reference bg1k-108, it is not in source)" in shown
        assert sorted(row["id"] for row in rows_of(data, "rejected")) == ["bg1k-108", "bgpair-6"]
    assert before == {file: file.read_bytes() for split in SPLITS for file in (data / split).glob("*.parquet")}
