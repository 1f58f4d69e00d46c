"""The data of styles: EPBD with references beside it, balanced, and the truth apart."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from p2i_ray.data.images import product_mask
from p2i_ray.data.schema import SCHEMA
from p2i_ray.mini import style_data, styles, world
from p2i_ray.mini.style_data import SCHEMA_WITH_REFERENCES, SPLITS, assign, make
from p2i_ray.mini.styles import SEEN, UNSEEN
from p2i_ray.mini.world import CATEGORIES, CLEAN, RIGHT_SCENE

pytestmark = pytest.mark.long

ROWS = {"train": 260, "validation": 48, "test": 48, "test_unseen": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("styles"), **ROWS)


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(folder / "styles.parquet").to_pylist()}


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / split).to_pylist()


def picture(image: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(image["bytes"]))


def test_splits_are_epbd_and_those_to_be_painted_have_references(folder: Path) -> None:
    for split, count in ROWS.items():
        table = pq.read_table(folder / split)
        assert table.num_rows == count
        assert table.schema.equals(SCHEMA if split == "train" else SCHEMA_WITH_REFERENCES, check_metadata=True)
    assert len(list((folder / "train").iterdir())) == 2  # of 256 rows at most


def test_datasets_sees_pictures(folder: Path, tmp_path: Path) -> None:
    import datasets

    files = [str(path) for path in (folder / "test").glob("*.parquet")]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded[0]["reference"].size == (64, 64) and loaded[0]["reference_cutout"].mode == "RGBA"


def test_the_truth_is_apart_and_complete(folder: Path, truth: dict[str, dict[str, Any]]) -> None:
    for split, shown in SPLITS.items():
        ids = [row["id"] for row in rows(folder, split)]
        assert {truth[i]["style"] for i in ids} == set(shown) and {truth[i]["split"] for i in ids} == {split}
    assert len(truth) == sum(ROWS.values())
    assert all((row["reference_id"] is None) == (row["split"] == "train") for row in truth.values())


def test_a_row_is_the_worlds_picture_in_its_style(folder: Path, truth: dict[str, dict[str, Any]]) -> None:
    for row in rows(folder, "test")[:12]:
        seed, index = map(int, row["id"].split("-"))
        sample = styles.render(seed, index, truth[row["id"]]["style"])
        assert (np.asarray(picture(row["image"])) == sample.image).all()
        assert (product_mask(picture(row["cutout"])) == sample.mask).all()
        assert sample.scene == RIGHT_SCENE[row["category"]] and not sample.flaws
        assert (row["name"], row["category"]) == (sample.name, sample.category)


def test_a_reference_is_another_product_in_the_rows_style(folder: Path, truth: dict[str, dict[str, Any]]) -> None:
    own = {row["id"] for split in ROWS for row in rows(folder, split)}
    for row in rows(folder, "test_unseen"):
        known = truth[row["id"]]
        assert known["reference_id"] not in own
        seed, index = map(int, known["reference_id"].split("-"))
        reference = styles.render(seed, index, known["style"])
        assert (np.asarray(picture(row["reference"])) == reference.image).all()
        assert (product_mask(picture(row["reference_cutout"])) == reference.mask).all()
        assert reference.name != row["name"] and reference.category == known["reference_category"]
        assert (reference.category == row["category"]) == known["same_category"]
    references = [found["reference_id"] for found in truth.values() if found["reference_id"]]
    assert len(set(references)) == len(references)


def test_styles_are_dealt_out_in_turn_whatever_the_category() -> None:
    """Counts differ by one at the most: in every category, in all, and between own and other references."""
    categories = [world.render(5, index, CLEAN).category for index in range(500)]
    cells = assign(categories, SEEN)
    for category in (None, *CATEGORIES):
        chosen = [cell for c, cell in zip(categories, cells, strict=True) if category in (None, c)]
        by_style = Counter(style for style, _ in chosen)
        assert max(by_style.values()) - min(by_style[style] for style in SEEN) <= 1
        assert abs(sum(same for _, same in chosen) - len(chosen) / 2) <= 1
    assert max(Counter(cells).values()) - min(Counter(cells).values()) <= 1
    assert assign(["tent", "sofa", "tent"], ("a", "b")) == [("b", False), ("a", True), ("a", False)]


def test_style_and_category_are_independent_in_the_data(truth: dict[str, dict[str, Any]], folder: Path) -> None:
    """Chi-square of the contingency table, far below what independent draws would give (77 degrees of freedom)."""
    from scipy.stats import chi2_contingency

    counts = Counter((row["category"], truth[row["id"]]["style"]) for row in rows(folder, "train"))
    table = np.array([[counts[c, s] for s in SEEN] for c in CATEGORIES])
    assert table.sum() == 260
    assert chi2_contingency(table).pvalue > 0.99
    assert not set(SEEN) & set(UNSEEN)


@pytest.mark.heavy
def test_every_process_writes_the_same_files(tmp_path: Path) -> None:
    few = ["--train", "30", "--validation", "4", "--test", "8", "--test-unseen", "4"]
    written = []
    for hash_seed in ("0", "1"):
        out = tmp_path / hash_seed
        command = [sys.executable, "-m", "p2i_ray.mini.style_data", "--out", str(out), *few]
        subprocess.run(command, env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."}, check=True)
        written.append({str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*.parquet"))})
    assert written[0] == written[1] and set(written[0]) == {
        "styles.parquet",
        *(f"{split}/part-000.parquet" for split in style_data.SPLITS),
    }


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    few = {"validation": 1, "test": 1, "test_unseen": 1}
    make(tmp_path, train=3, **few)
    (tmp_path / "train" / "part-000.parquet").rename(tmp_path / "train" / "part-001.parquet")
    make(tmp_path, train=2, seed=2, **few)
    assert len(rows(tmp_path, "train")) == 2 and pq.read_table(tmp_path / "styles.parquet").num_rows == 5
