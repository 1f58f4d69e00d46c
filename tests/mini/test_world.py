"""The toy world: the same bytes everywhere, flaws that are there, and products that no flaw touches."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from p2i_ray.config import Config, load
from p2i_ray.data.schema import SCHEMA
from p2i_ray.mini.data import make
from p2i_ray.mini.names import NOUNS, UNSEEN_BRANDS
from p2i_ray.mini.world import (
    BALANCED,
    CATEGORIES,
    CLEAN,
    CLEAN_UNSEEN,
    FLAWS,
    NATURAL,
    PLAIN,
    RIGHT_SCENE,
    SCENES,
    quality,
    render,
    render_with_cover,
)

DIGEST = (
    "import hashlib\nfrom p2i_ray.mini.world import BALANCED, render\n"
    "one = [render(3, i, BALANCED) for i in range(40)]\n"
    "print(hashlib.md5(b''.join(s.image.tobytes() + s.mask.tobytes() + s.name.encode() for s in one)).hexdigest())"
)


def test_every_process_renders_the_same_bytes() -> None:
    here = [render(3, i, BALANCED) for i in range(40)]
    digest = hashlib.md5(b"".join(s.image.tobytes() + s.mask.tobytes() + s.name.encode() for s in here)).hexdigest()
    for hash_seed in ("0", "1"):  # a set's order must not reach the pictures
        command, environment = [sys.executable, "-c", DIGEST], {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."}
        there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert there.stdout.strip() == digest


def test_samples_keep_their_contract() -> None:
    assert load(Config, "mini").judge.flaws == FLAWS
    assert set(RIGHT_SCENE) == set(CATEGORIES) and set(RIGHT_SCENE.values()) == set(SCENES)
    samples = [render(4, i, BALANCED) for i in range(300)]
    assert len({s.id for s in samples}) == 300 and {s.category for s in samples} == set(CATEGORIES)
    for s in samples:
        assert s.image.shape == (64, 64, 3) and s.mask.shape == (64, 64) and s.image.dtype == s.mask.dtype == np.uint8
        assert set(np.unique(s.mask)) == {0, 255} and 0.02 < (s.mask > 0).mean() < 0.45
        assert s.quality == quality(s.flaws) and set(s.flaws.values()) <= {1, 2}
        assert (s.scene == PLAIN) == ("plain background" in s.flaws)
        assert ("wrong scene" in s.flaws) == (s.scene not in (PLAIN, RIGHT_SCENE[s.category]))


@pytest.mark.parametrize(
    ("flaws", "expected"),
    [({}, 5), ({"blur": 1}, 4), ({"text overlay": 1}, 3), ({"wrong scene": 1}, 2), ({"clutter": 2, "blur": 2}, 1)],
)
def test_quality_is_five_less_the_penalties(flaws: dict[str, int], expected: int) -> None:
    assert quality(flaws) == expected


def test_flaws_show_beside_the_product_only() -> None:
    for i in range(200):
        sample, (text, clutter) = render_with_cover(5, i, BALANCED)
        product = sample.mask > 0
        assert not (text & product).any() and not (clutter & product).any()
        assert text.any() == ("text overlay" in sample.flaws)
        # Half an item's area of the four or nine at the least: three slogans may hide some clutter.
        assert clutter.sum() > 20 if "clutter" in sample.flaws else not clutter.any()


def test_the_natural_mix_is_about_half_good_and_names_tell_the_category() -> None:
    samples = [render(6, i, NATURAL) for i in range(600)]
    assert 0.42 < np.mean([s.quality >= 4 for s in samples]) < 0.56
    assert all(not render(6, i, CLEAN).flaws for i in range(50))
    for s in samples:
        assert [c for c, nouns in NOUNS.items() if any(noun in s.name for noun in nouns)] == [s.category]


def test_mini_data_is_epbd_with_the_truth_beside_it(tmp_path: Path) -> None:
    root = make(tmp_path / "mini", train=300, validation=8, test=8, test_unseen=8)
    train = pq.read_table(root / "train")
    assert train.schema.equals(SCHEMA) and train.num_rows == 300 and len(list((root / "train").iterdir())) == 2
    assert b"huggingface" in train.schema.metadata
    truth = {row["id"]: row for row in pq.read_table(root / "truth.parquet").to_pylist()}
    assert len(truth) == 324 and all(not truth[i]["flaws"] for i in pq.read_table(root / "test")["id"].to_pylist())
    unseen = pq.read_table(root / "test_unseen")["name"].to_pylist()
    assert all(name.split()[0] in UNSEEN_BRANDS for name in unseen)
    assert render(13, 0, CLEAN_UNSEEN).name == unseen[0]


def test_cutouts_are_the_products_own_pixels(tmp_path: Path) -> None:
    import io

    from PIL import Image

    row = pq.read_table(make(tmp_path, train=1, validation=1, test=1, test_unseen=1) / "train").to_pylist()[0]
    image, cutout = (np.asarray(Image.open(io.BytesIO(row[key]["bytes"]))) for key in ("image", "cutout"))
    assert cutout.shape == (64, 64, 4)
    assert (cutout[..., :3] == image).all() and (cutout[..., 3] == render(10, 0).mask).all()
