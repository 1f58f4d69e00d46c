"""One file of weights: read, or refused in one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import weights_file

SETTING = "evaluate.aesthetics"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_safetensors_and_pickled_files_alike(tmp_path: Path) -> None:
    weight = torch.tensor([[1.0, 2.0]], dtype=torch.float16)
    save_file({"weight": weight}, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "state_dict": {"weight": weight}}, tmp_path / "a.pth")
    for path, digest in ((tmp_path / "a.safetensors", None), (tmp_path / "a.pth", sha256(tmp_path / "a.pth").upper())):
        found = weights_file.read(str(path), digest, SETTING)
        assert list(found) == ["weight"] and found["weight"].dtype == torch.float32
        assert found["weight"].tolist() == [[1, 2]]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    file, cut = tmp_path / "a.pth", tmp_path / "cut.safetensors"
    torch.save({"weight": torch.zeros(1)}, file)
    cut.write_bytes(b"12345678 no header")
    code = tmp_path / "code.pth"
    torch.save({"weight": Path("x")}, code)  # any class will do
    for location, digest, line in (
        (tmp_path / "no.pth", "0" * 64, r"evaluate\.aesthetics=.*no\.pth is not there"),
        (file, None, r"is no safetensors file; set evaluate\.aesthetics_sha256"),
        (file, "0" * 64, f"has the SHA-256 {sha256(file)}, not 0000"),
        (cut, None, "is no safetensors file, or is cut short"),
        (code, sha256(code), "is damaged, or holds more than tensors"),
    ):
        with pytest.raises(UserError, match=line) as error:
            weights_file.read(str(location), digest, SETTING)
        assert "\n" not in str(error.value)
