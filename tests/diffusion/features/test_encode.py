"""Rows through the frozen encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from make_rows import make_row, make_rows

from p2i_ray.config import FeatureConfig, ImageConfig, PainterConfig
from p2i_ray.diffusion import folder
from p2i_ray.diffusion.features import encode as features
from p2i_ray.diffusion.training import rows
from p2i_ray.epbd.images import ImageError
from p2i_ray.sink import read_parquet

IMAGE = ImageConfig.model_construct(resolution=16, max_bytes=10**6, max_pixels=10**6)
SETTINGS = FeatureConfig(batch_size=4, num_gpus=0, num_cpus=0.5)


def test_rows_are_encoded_or_set_aside(ray_cluster: None, tiny_painter: PainterConfig, tmp_path: Path) -> None:
    import ray.data

    given, seen = make_rows(good=5), []
    written = features.encode(
        ray.data.from_items(given), tiny_painter, SETTINGS, IMAGE, str(tmp_path / "features"), seen.append
    )
    assert (written.rows, written.set_aside, sum(seen)) == (8, 3, 8)
    table = read_parquet(str(tmp_path / "features"), written.files, ["id", "name", "error"]).to_pylist()
    assert [row["id"] for row in table] == [row["id"] for row in given]
    assert [row["error"] for row in table[:5]] == [None] * 5
    assert table[5]["error"].endswith("the image is empty")
    assert table[6]["error"] == "the cutout has no alpha channel"
    assert table[7]["error"].startswith("the picture has 20x16 pixels and is not square")
    assert rows.count(str(tmp_path / "features"), written.files, None) == 5


def test_features_do_not_depend_on_neighbours(tiny_painter: PainterConfig) -> None:
    encode = features._Encode(tiny_painter, SETTINGS, IMAGE)
    together = encode(pa.Table.from_pylist([make_row(n) for n in range(4)]))
    alone = encode(pa.Table.from_pylist([make_row(2)]))
    assert together.slice(2, 1).to_pylist() == alone.to_pylist()


def test_features_are_what_the_models_say(tiny_painter: PainterConfig) -> None:
    encoders = folder.load_encoders(tiny_painter, "cpu")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[:, 4:12, 4:8] = 255
    encoded = encoders.encode(images, masks)
    assert encoded.mask.shape == (2, 1, 8, 8)
    assert encoded.mask[0, 0].tolist() == [[0 if 2 <= y < 6 and 2 <= x < 4 else 1 for x in range(8)] for y in range(8)]
    with torch.no_grad():
        product = torch.zeros(1, 3, 16, 16)
        product[..., 4:12, 4:8] = torch.tensor(images[0, 4:12, 4:8]).permute(2, 0, 1) / 127.5 - 1
        expected = encoders.vae.encode(product).latent_dist.parameters
        no_product = images[0].copy()
        no_product[4:12, 4:8] = 127
        processor = encoders.processor
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std))
        pixels = (torch.tensor(no_product).permute(2, 0, 1) / 255 - mean) / std
        clip = encoders.clip.get_image_features(pixel_values=pixels[None].float())
    np.testing.assert_allclose(encoded.product_moments[:1], expected, atol=1e-4)
    np.testing.assert_allclose(encoded.background_clip[:1], getattr(clip, "pooler_output", clip), atol=1e-4)


def test_pictures_are_resized_to_the_models_resolution() -> None:
    from p2i_ray.diffusion.pixels import open_pair

    row = make_row(0, resolution=32)
    image, mask = open_pair(row["image"]["bytes"], row["cutout"]["bytes"], IMAGE)
    assert image.shape == (16, 16, 3) and mask.shape == (16, 16)
    assert mask[8, 8] == 255 and mask[0, 0] == 0
    with pytest.raises(ImageError, match="32x32 pixels, its cutout 16x16"):
        open_pair(row["image"]["bytes"], make_row(0)["cutout"]["bytes"], IMAGE)
