"""Painting a split: the product's pixels stay, and an image depends on its own row only."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from p2i_ray.compositing.finish import finisher
from p2i_ray.config import DiffusionConfig, GenerateConfig, ImageConfig
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.diffusion.sampling import generate
from p2i_ray.diffusion.sampling.painting_method import Finish
from p2i_ray.errors import UserError
from p2i_ray.storage.parquet import read_parquet
from tests.support.make_rows import make_row, make_rows

IMAGE = ImageConfig.model_construct(resolution=16, max_bytes=10**6, max_pixels=10**6)
SETTINGS = GenerateConfig(
    num_inference_steps=4, guidance_scale=3, batch_size=4, num_workers=1, num_gpus=0, num_cpus=0.5, dtype="fp32"
)


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def test_a_split_is_painted(ray_cluster: None, tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    import ray.data

    given, seen = make_rows(good=6), []
    written = generate.generate(
        ray.data.from_items(given),
        tiny_painter.base,
        str(tmp_path),
        settings=SETTINGS,
        image=IMAGE,
        painting=Painting(tiny_painter),
        seed=0,
        progress=seen.append,
    )
    assert (written.rows, written.set_aside, sum(seen)) == (9, 3, 9)
    painted = read_parquet(str(tmp_path), written.files).to_pylist()
    for row, result in zip(given, painted, strict=True):
        assert (result["id"], result["name"], result["cutout"]) == (row["id"], row["name"], row["cutout"])
        assert (result["image"] is None) == (result["error"] is not None)
    picture, cutout = pixels(painted[0]["image"]["bytes"]), pixels(given[0]["cutout"]["bytes"])
    np.testing.assert_array_equal(picture[4:12, 4:12], cutout[4:12, 4:12, :3])
    assert not np.array_equal(picture[:4], cutout[:4, :, :3])


def test_a_picture_does_not_depend_on_its_neighbours_but_on_the_seed(tiny_painter: DiffusionConfig) -> None:
    given = [make_row(number) for number in range(4)]

    def paint(seed: int, *numbers: int) -> list[np.ndarray]:
        actor = generate._Paint(
            model=tiny_painter.base, settings=SETTINGS, image=IMAGE, painting=Painting(tiny_painter), seed=seed
        )
        table = actor(pa.Table.from_pylist([given[n] for n in numbers]))
        return [pixels(row["image"]["bytes"]) for row in table.to_pylist()]

    together = paint(0, 0, 1, 2, 3)
    for number, alone in ((1, paint(0, 1)[0]), (1, paint(0, 3, 1)[1]), (3, paint(0, 3, 1)[0])):
        np.testing.assert_array_equal(alone, together[number])
    assert not np.array_equal(paint(1, 1)[0], together[1])


def test_soft_edge_blends_only_near_the_edge(tiny_painter: DiffusionConfig) -> None:
    row = make_row(0, resolution=32)
    image = ImageConfig(resolution=32)

    def paint(soft_edge: float) -> np.ndarray:
        settings = SETTINGS.model_copy(update={"soft_edge": soft_edge})
        actor = generate._Paint(
            model=tiny_painter.base, settings=settings, image=image, painting=Painting(tiny_painter), seed=0
        )
        return pixels(actor(pa.Table.from_pylist([row])).to_pylist()[0]["image"]["bytes"])

    hard, soft = paint(0), paint(1)
    changed = (hard != soft).any(axis=2)
    assert changed[8, 8:24].any()
    assert not changed[13:19, 13:19].any() and not changed[:3].any()


def test_a_picture_is_finished_and_what_was_done_is_written(tiny_painter: DiffusionConfig) -> None:
    row = make_row(0, resolution=32)

    def paint(finish: Finish | None) -> dict[str, Any]:
        actor = generate._Paint(
            model=tiny_painter.base,
            settings=SETTINGS,
            image=ImageConfig(resolution=32),
            painting=Painting(tiny_painter),
            seed=0,
            finish=finish,
        )
        bad = {**row, "id": "bad", "name": " "}
        painted, refused = actor(pa.Table.from_pylist([row, bad])).to_pylist()
        assert refused["image"] is None and "no name" in refused["error"] and refused.get("compositing") is None
        return dict(painted)

    plain, lit = paint(None), paint(finisher(CompositingConfig(light="whole", light_strength=1)))
    assert "compositing" not in plain and json.loads(lit["compositing"])["light"] == "whole"
    before, after = pixels(plain["image"]["bytes"]), pixels(lit["image"]["bytes"])
    changed = (before != after).any(axis=2)
    assert changed[8:24, 8:24].any() and not changed[:8].any() and not changed[24:].any()


def test_resolution_must_suit_the_model(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    image = ImageConfig.model_construct(resolution=17)
    with pytest.raises(UserError, match="multiple of 2"):
        generate.generate(
            None,  # type: ignore[arg-type]  # not looked at
            tiny_painter.base,
            str(tmp_path),
            settings=SETTINGS,
            image=image,
            painting=Painting(tiny_painter),
            seed=0,
        )
