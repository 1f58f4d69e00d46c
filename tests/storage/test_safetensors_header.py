"""What a safetensors file's header says, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import save_file

from p2i_ray.errors import UserError
from p2i_ray.storage import safetensors_header
from p2i_ray.storage.safetensors_header import Tensor


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3, 2), "b": torch.ones(5, dtype=torch.float16)}, path, metadata={"format": "pt"})
    return path


def test_names_types_and_shapes(file: Path) -> None:
    assert safetensors_header.read(str(file)) == {"a": Tensor("F32", (3, 2)), "b": Tensor("F16", (5,))}


def test_a_file_in_a_bucket(file: Path) -> None:
    fsspec.filesystem("memory").pipe("/weights/model.safetensors", file.read_bytes())
    assert safetensors_header.read("memory://weights/model.safetensors").keys() == {"a", "b"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_a_tensor(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.randn(7, 3, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file({"before": torch.ones(5), "values": values, "x": torch.zeros(2)}, tmp_path / "some.safetensors")
    found = safetensors_header.read_rows(str(tmp_path / "some.safetensors"), "values", range(2, 6))
    assert torch.equal(torch.tensor(found), values[2:6].float())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda whole: whole[:-1], r"is cut short: \d+ of \d+ bytes; fetch the file again"),
        (lambda whole: whole[:40], "is cut short: 40 bytes, and its header alone has"),
        (lambda whole: whole + b"\0", "has more than its header says"),
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:5], "is no safetensors file"),
        (
            lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n",
            "is a Git LFS pointer",
        ),
        (lambda whole: b"<!doctype html><html>404 page</html>", "is no safetensors file; fetch the file again"),
        (lambda whole: b"PK\x03\x04" + bytes(100), "is cut short|is no safetensors file"),
        (lambda whole: (2).to_bytes(8, "little") + b"[]", "its header can't be read"),
        (lambda whole: (9).to_bytes(8, "little") + b'{"a": {}}', "its header can't be read"),
    ],
)
def test_what_is_no_whole_file_is_one_line(file: Path, change: Callable[[bytes], bytes], line: str) -> None:
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=line):
        safetensors_header.read(str(file))
