"""Rows through the frozen encoders, those that are new."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from p2i_ray.config import DiffusionConfig, FeatureConfig, ImageConfig
from p2i_ray.data.images import ImageError
from p2i_ray.diffusion.features import encode as features
from p2i_ray.diffusion.features import index, schema
from p2i_ray.diffusion.features.encoders import load_encoders
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.features.shards import KnownShards, open_shards
from p2i_ray.diffusion.model.preprocess import open_pair
from p2i_ray.errors import UserError
from p2i_ray.storage.parquet import Written, read_parquet, write_table
from tests.support.make_rows import make_row, make_rows

Row = dict[str, Any]
IMAGE = ImageConfig.model_construct(resolution=16, max_bytes=10**6, max_pixels=10**6)
SETTINGS = FeatureConfig(batch_size=4, num_gpus=0, num_cpus=0.5)


def shaped(*ratios: str) -> ImageConfig:
    """At the tiny models' side: 5:8 of 16 is 12.6 x 20.2, so 12 x 20."""
    return ImageConfig.model_construct(
        resolution=16, aspect_ratios=ratios, size_step=4, max_bytes=10**6, max_pixels=10**6
    )


def named(rows: list[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}


def read(features: FeatureIndex) -> dict[str, Row]:
    """The features of each row, packed, with its name."""
    return named(pa.Table.from_batches(index.batches(features, None), schema.PLAIN.features).to_pylist())


class Here:
    """The job's tasks one after the other, without Ray."""

    def __init__(self, diffusion: DiffusionConfig, cache: Path) -> None:
        self.diffusion, self.shards = diffusion, open_shards(str(cache), diffusion, IMAGE.resolution)

    def tasks(self, rows: list[Row], encode: features.Encode | None = None) -> pa.Table:
        """The index of some rows, with its two further columns."""
        looked_up = features.look_up(pa.Table.from_pylist(rows), KnownShards(self.shards), IMAGE)
        encode = encode or features.Encode(self.diffusion, SETTINGS)
        return features.add_shard(encode(looked_up), self.shards)

    def encode(self, rows: list[Row]) -> tuple[dict[str, Row], int]:
        """The rows' features, and how many are new."""
        looked_up = self.tasks(rows)
        write_table(looked_up.select(schema.PLAIN.index.names), f"{self.shards}/index")
        return read(FeatureIndex(self.shards, ["index"], self.shards)), sum(looked_up["encoded"].to_pylist())


@pytest.fixture
def here(tiny_painter: DiffusionConfig, tmp_path: Path) -> Here:
    return Here(tiny_painter, tmp_path)


def test_rows_are_encoded_or_set_aside_and_only_new_ones_again(
    ray_cluster: None, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    """The second call is another run's, with another folder but the same cache."""
    import ray.data

    def encode(rows: list[Row], name: str) -> tuple[Written, FeatureIndex]:
        settings, seen = SETTINGS.model_copy(update={"cache": str(tmp_path / "cache")}), []
        out = str(tmp_path / name)
        written = features.encode(
            ray.data.from_items(rows), out, diffusion=tiny_painter, settings=settings, image=IMAGE, progress=seen.append
        )
        assert sum(seen) == written.rows == len(rows)
        return written, FeatureIndex(out, written.files, written.facts["shards"])

    given = make_rows(good=5)
    written, first = encode(given, "first")
    assert (written.set_aside, written.facts["encoded"], written.facts["reused"]) == (3, 5, 0)
    table = read_parquet(first.index, first.files, ["id", "error"]).to_pylist()
    assert [row["id"] for row in table] == [row["id"] for row in given]
    assert [row["error"] for row in table[:5]] == [None] * 5
    assert table[5]["error"].endswith("the image is empty")
    assert table[6]["error"] == "the cutout has no alpha channel"
    assert table[7]["error"].startswith("the picture has 20x16 pixels and is not square")
    assert index.count(first, None) == 5

    written, second = encode([*given, make_row(20)], "second")
    assert (written.set_aside, written.facts["encoded"], written.facts["reused"]) == (3, 1, 5)
    assert second.shards == first.shards
    old, new = read(first), read(second)
    assert sorted(new) == [*sorted(old), "row-020"]
    assert {id_: new[id_] for id_ in old} == old


def test_features_are_the_encoders(here: Here) -> None:
    rows = [make_row(n) for n in range(4)]
    found, _ = here.encode(rows)
    pairs = [open_pair(row["image"]["bytes"], row["cutout"]["bytes"], IMAGE) for row in rows]
    images, masks = (np.stack(column) for column in zip(*pairs, strict=True))
    expected = load_encoders(here.diffusion, "cpu").encode(images, masks)._asdict()
    for n, row in enumerate(rows):
        assert found[row["id"]]["latent_shape"] == [4, 8, 8] and found[row["id"]]["name"] == row["name"]
        for name, dtype in schema.DTYPES.items():
            assert found[row["id"]][name] == expected[name][n].astype(dtype).tobytes(), name


def test_features_do_not_depend_on_what_else_is_encoded(
    here: Here, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    rows = [make_row(n) for n in range(6)]
    together, _ = here.encode(rows)
    alone, _ = Here(tiny_painter, tmp_path / "alone").encode([rows[4]])
    other = Here(tiny_painter, tmp_path / "other")
    other.encode([rows[0], rows[3]])
    after_a_partial_hit, new = other.encode(rows)
    assert alone["row-004"] == together["row-004"]
    assert after_a_partial_hit == together and new == 4


def test_pictures_of_several_shapes_are_encoded_in_their_own_sizes(here: Here, tiny_painter: DiffusionConfig) -> None:
    image = shaped("1:1", "5:8")
    rows = [make_row(n, size=(12, 20) if n % 2 else None) for n in range(4)]
    known = features.look_up(pa.Table.from_pylist(rows), KnownShards(here.shards), image)
    encoded = features.Encode(tiny_painter, SETTINGS)(known).to_pylist()
    assert [row["size"] for row in encoded] == ["16x16", "12x20"] * 2
    assert [row["latent_shape"] for row in encoded] == [[4, 8, 8], [4, 10, 6]] * 2
    pairs = [open_pair(row["image"]["bytes"], row["cutout"]["bytes"], image) for row in rows]
    encoders = load_encoders(tiny_painter, "cpu")
    for n in (1, 3):
        alone = encoders.encode(*(np.stack([array] * 4) for array in pairs[n]))
        assert encoded[n]["image_moments"] == alone.image_moments[0].astype("<f2").tobytes()
    squares, _ = here.encode(rows[::2])  # a run without other shapes has the same squares
    assert squares["row-000"]["image_moments"] == encoded[0]["image_moments"]
    again = features.look_up(pa.Table.from_pylist(rows), KnownShards(here.shards), image)
    assert again["shard"].is_valid().to_pylist() == [True, False] * 2
    refused = features.look_up(pa.Table.from_pylist(rows), KnownShards(here.shards), IMAGE)["error"].to_pylist()
    assert refused[0] is None and "12x20 pixels and is not square" in refused[1]


def test_clip_sees_the_product_wherever_it_is(tiny_painter: DiffusionConfig) -> None:
    encoders = load_encoders(tiny_painter, "cpu")
    wide, masks = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3), np.uint8), np.zeros((2, 16, 32), np.uint8)
    masks[0, 4:12, 1:9] = masks[1, 4:12, 12:20] = 255
    found = encoders.encode(wide, masks)
    assert found.image_moments.shape == (2, 8, 8, 16)
    parts = np.stack([wide[0, :, 1:17], wide[1, :, 8:24]]), np.stack([masks[0, :, 1:17], masks[1, :, 8:24]])
    squares = encoders.encode(*parts)
    np.testing.assert_array_equal(found.image_clip, squares.image_clip)
    np.testing.assert_array_equal(found.background_clip, squares.background_clip)


def test_known_features_of_a_shape_that_is_not_wanted_are_not_trained_on(here: Here) -> None:
    rows = [make_row(0), make_row(1, size=(12, 20))]
    known = features.look_up(pa.Table.from_pylist(rows), KnownShards(here.shards), shaped("1:1", "5:8"))
    features.add_shard(features.Encode(here.diffusion, SETTINGS)(known), here.shards)
    tall = features.look_up(pa.Table.from_pylist(rows), KnownShards(here.shards), shaped("5:8"))
    assert tall["size"].to_pylist() == [None, "12x20"] and tall["shard"].is_valid().to_pylist() == [False, True]
    assert tall["error"].to_pylist()[0].startswith("the picture has 16x16 pixels, the shape of none of")
    assert "image.aspect_ratios=5:8 (12x20)" in tall["error"].to_pylist()[0]


def test_a_picture_that_is_stored_turned_has_its_upright_size_each_time(here: Here) -> None:
    image, row = shaped("1:1", "5:8", "8:5"), make_row(0, size=(12, 20))
    turned, out = Image.open(io.BytesIO(row["image"]["bytes"])).transpose(Image.Transpose.ROTATE_90), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    turned.save(out, "PNG", exif=exif)
    row["image"]["bytes"] = out.getvalue()
    first = features.look_up(pa.Table.from_pylist([row]), KnownShards(here.shards), image)
    encoded = features.add_shard(features.Encode(here.diffusion, SETTINGS)(first), here.shards)
    again = features.look_up(pa.Table.from_pylist([row]), KnownShards(here.shards), image)
    assert again["shard"].to_pylist() == encoded["shard"].to_pylist() != [None]
    assert first["size"].to_pylist() == again["size"].to_pylist() == ["12x20"]


def test_nothing_new_needs_no_model(here: Here) -> None:
    gone = features.Encode(DiffusionConfig(base="/nowhere", clip="/nowhere"), SETTINGS)
    bad = make_rows(good=0)
    rows = [make_row(10), *bad]
    with pytest.raises(UserError, match="/nowhere is not there"):
        here.tasks(rows, gone)
    here.encode(rows)
    looked_up = here.tasks(rows, gone)
    assert looked_up["reused"].to_pylist() == [True, False, False, False]
    assert [bool(error) for error in looked_up["error"].to_pylist()] == [False, True, True, True]


def test_the_content_counts_not_the_id(here: Here) -> None:
    rows = [make_row(0), make_row(1)]
    before, _ = here.encode(rows)
    changed = [{**make_row(7), "id": "row-000"}, {**rows[1], "id": "copy"}, rows[1]]
    after, new = here.encode(changed)
    assert new == 1
    assert after["row-000"]["image_clip"] not in {row["image_clip"] for row in before.values()}
    assert after["copy"] == {**after["row-001"], "id": "copy"} == {**before["row-001"], "id": "copy"}


def test_one_picture_under_two_ids_at_once(here: Here) -> None:
    found, _ = here.encode([make_row(0), {**make_row(0), "id": "copy", "name": "another name"}])
    assert found["copy"] == {**found["row-000"], "id": "copy", "name": "another name"}


def test_a_task_done_twice_leaves_every_row_once(here: Here) -> None:
    """As when a node is lost: both attempts have written a shard, and only one's index counts."""
    looked_up = features.look_up(pa.Table.from_pylist([make_row(n) for n in range(3)]), KnownShards(here.shards), IMAGE)
    encoded = features.Encode(here.diffusion, SETTINGS)(looked_up)
    attempts = [features.add_shard(encoded, here.shards) for _ in range(2)]
    assert attempts[0]["shard"] != attempts[1]["shard"]
    write_table(attempts[1].select(schema.PLAIN.index.names), f"{here.shards}/index")
    assert sorted(read(FeatureIndex(here.shards, ["index"], here.shards))) == ["row-000", "row-001", "row-002"]
    again, new = here.encode([make_row(n) for n in range(3)])
    assert len(again) == 3 and new == 0


def test_tighter_limits_set_known_rows_aside(here: Here) -> None:
    row = make_row(0)
    here.encode([row])
    tight = IMAGE.model_copy(update={"max_pixels": 100})
    looked_up = features.look_up(pa.Table.from_pylist([row]), KnownShards(here.shards), tight)
    assert looked_up["error"].to_pylist() == ["too large: 16x16 pixels, more than image.max_pixels=100 allows"]
    assert looked_up["shard"].to_pylist() == [None]


def test_a_cutout_without_a_scene_is_set_aside(here: Here) -> None:
    row = {**make_row(0), "image": None}
    looked_up = features.look_up(pa.Table.from_pylist([make_row(1), row]), KnownShards(here.shards), IMAGE)
    assert looked_up["error"].to_pylist()[1].startswith("no scene: the row is a cutout alone")


def test_values_that_are_not_finite_set_their_row_aside(here: Here) -> None:
    encode = features.Encode(here.diffusion, SETTINGS)
    here.tasks([make_row(0)], encode)
    with torch.no_grad():
        encode._encoders.vae.quant_conv.bias.fill_(1e5)  # finite, but not at half precision
    looked_up = here.tasks([make_row(1)], encode)
    assert looked_up["error"].to_pylist() == ["the encoders give values that are not finite"]
    assert KnownShards(here.shards).find(looked_up["key"].to_pylist()) == [None]


def test_features_are_what_the_models_say(tiny_painter: DiffusionConfig) -> None:
    encoders = load_encoders(tiny_painter, "cpu")
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
    row = make_row(0, resolution=32)
    image, mask = open_pair(row["image"]["bytes"], row["cutout"]["bytes"], IMAGE)
    assert image.shape == (16, 16, 3) and mask.shape == (16, 16)
    assert mask[8, 8] == 255 and mask[0, 0] == 0
    with pytest.raises(ImageError, match="32x32 pixels, its cutout 16x16"):
        open_pair(row["image"]["bytes"], make_row(0)["cutout"]["bytes"], IMAGE)
