"""What keeps features apart, and what doesn't."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.features import schema
from p2i_ray.diffusion.features.shards import KnownShards, add, open_shards
from p2i_ray.errors import UserError
from p2i_ray.storage import content_cache


@pytest.fixture
def diffusion(tiny_painter: DiffusionConfig, tmp_path: Path) -> DiffusionConfig:
    """Copies, to be changed."""
    places = {name: str(tmp_path / name) for name in ("base", "clip")}
    for name, place in places.items():
        shutil.copytree(getattr(tiny_painter, name), place)
    return tiny_painter.model_copy(update=places)


def nudge(file: Path) -> None:
    """Change one weight a little."""
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[-1] += 1e-3
    save_file(weights, file, metadata={"format": "pt"})


def test_encoders_and_resolution_keep_features_apart(diffusion: DiffusionConfig, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    folders = [open_shards(cache, diffusion, 16), open_shards(cache, diffusion, 32)]
    nudge(Path(diffusion.base, "vae", "diffusion_pytorch_model.safetensors"))
    folders.append(open_shards(cache, diffusion, 16))
    nudge(Path(diffusion.clip, "model.safetensors"))
    folders.append(open_shards(cache, diffusion, 16))
    settings = Path(diffusion.clip, "preprocessor_config.json")
    settings.write_text(settings.read_text().replace("0.48145466", "0.5"))
    folders.append(open_shards(cache, diffusion, 16))
    assert len(set(folders)) == 5
    assert json.loads(Path(folders[1], "about.json").read_text())["resolution"] == 32


def test_only_what_they_depend_on_does(diffusion: DiffusionConfig, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    before = open_shards(cache, diffusion, 16)
    nudge(Path(diffusion.base, "unet", "diffusion_pytorch_model.safetensors"))  # as training does
    vae = AutoencoderKL.from_pretrained(Path(diffusion.base, "vae"))
    vae.save_pretrained(tmp_path / "elsewhere" / "vae")
    config = json.loads((tmp_path / "elsewhere" / "vae" / "config.json").read_text())
    assert config["_name_or_path"] == str(Path(diffusion.base, "vae"))
    shutil.copytree(tmp_path / "elsewhere" / "vae", Path(diffusion.base, "vae"), dirs_exist_ok=True)
    assert open_shards(cache, diffusion, 16) == before


def row(number: int) -> dict[str, object]:
    return {"key": b"%016d" % number, "latent_shape": [4, 8, 8], **dict.fromkeys(schema.DTYPES, b"")}


def test_what_was_added_is_found_where_it_is(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert KnownShards(folder).find([b"0" * 16]) == [None]
    names = [
        add(folder, pa.Table.from_pylist([row(n) for n in part], schema.PLAIN.shard)) for part in ((3, 1, 3), (2,))
    ]
    found = KnownShards(folder).find([b"%016d" % n for n in range(5)])
    assert found == [None, names[0], names[1], names[0], None]


def test_an_unreadable_shard_is_named(tmp_path: Path) -> None:
    name = add(str(tmp_path), pa.Table.from_pylist([row(1)], schema.PLAIN.shard))
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{name} can't be read \(.*\); it should hold features: remove it"):
        KnownShards(str(tmp_path))


def test_keys_tell_pictures_from_cutouts() -> None:
    keys = {
        content_cache.key_of(*pair) for pair in ((b"ab", b"c"), (b"a", b"bc"), (b"c", b"ab"), (b"abc",), (b"ab", b"c"))
    }
    assert len(keys) == 4 and {len(key) for key in keys} == {16}
