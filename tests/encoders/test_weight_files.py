"""Which of a folder's files are the weights: the layouts in which models are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from tests.support.shard import shard

NAME = "diffusion_pytorch_model"


def save(folder: Path, name: str, **tensors: torch.Tensor) -> str:
    save_file(tensors or {"a": torch.zeros(2)}, folder / name)
    return str(folder / name)


def index(folder: Path, name: str, **files: str) -> None:
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": files}))


def test_full_precision_goes_before_a_variant(tmp_path: Path) -> None:
    save(tmp_path, f"{NAME}.fp16.safetensors")
    assert weight_files.find(str(tmp_path), NAME).variant == "fp16"
    whole = save(tmp_path, f"{NAME}.safetensors")
    save(tmp_path, f"{NAME}.non_ema.safetensors")
    assert weight_files.find(str(tmp_path), NAME) == weight_files.Weights(None, (whole,))


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_sharded_weights(tmp_path: Path, variant: str | None) -> None:
    save(tmp_path, f"{NAME}.safetensors", a=torch.zeros(2), b=torch.zeros(3), c=torch.zeros(4))
    shard(tmp_path / f"{NAME}.safetensors", NAME, variant)
    found = weight_files.find(str(tmp_path), NAME)
    assert found.variant == variant and len(found.files) == 2
    assert {name: tensor.shape for name, tensor in found.tensors().items()} == {"a": (2,), "b": (3,), "c": (4,)}


def test_an_index_without_all_its_files(tmp_path: Path) -> None:
    save(tmp_path, f"{NAME}-00001-of-00003.safetensors")
    parts = {f"t{i}": f"{NAME}-0000{i}-of-00003.safetensors" for i in (1, 2, 3)}
    index(tmp_path, f"{NAME}.safetensors.index.json", **parts)
    with pytest.raises(UserError, match=rf"has 1 of 3 files .* fetch {NAME}-00002-of-00003.safetensors and the others"):
        weight_files.find(str(tmp_path), NAME)


def test_a_part_that_lacks_what_the_index_lists(tmp_path: Path) -> None:
    save(tmp_path, f"{NAME}-00001-of-00001.safetensors")
    index(
        tmp_path,
        f"{NAME}.safetensors.index.json",
        a=f"{NAME}-00001-of-00001.safetensors",
        b=f"{NAME}-00001-of-00001.safetensors",
    )
    with pytest.raises(UserError, match="has no b, which the index lists"):
        weight_files.find(str(tmp_path), NAME).tensors()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{NAME}.safetensors.index.json").write_text(content)
    with pytest.raises(UserError, match="is no index of weights"):
        weight_files.find(str(tmp_path), NAME)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            f"{NAME}.bin",
            r"has pickled weights only \(diffusion_pytorch_model.bin\); convert them: python jobs/convert.py",
        ),
        (f"{NAME}.non_ema.safetensors", r"has diffusion_pytorch_model.non_ema.safetensors, but no"),
        (weight_files.LORA, "holds a LoRA"),
        ("config.json", r"has no \*.safetensors weights"),
    ],
)
def test_a_folder_without_usable_weights(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).touch()
    with pytest.raises(UserError, match=line):
        weight_files.find(str(tmp_path), NAME)
