"""Pickled weights and single files become model folders of the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import conversion, loading, validation
from p2i_ray.errors import UserError
from tests.support.ldm_layout import single_file

WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
pytestmark = pytest.mark.heavy  # each pickled file is read by a process of its own


def convert(source: Path, out: Path, config: Path | None = None) -> list[str]:
    lines: list[str] = []
    conversion.convert(str(source), str(out), config=str(config) if config else None, tell=lines.append)
    return lines


def pickled(folder: Path, out: Path, *parts: str) -> Path:
    """A copy of a model folder with pickled weights."""
    shutil.copytree(folder, out)
    for part in parts:
        path = out / part / f"{WEIGHTS[part]}.safetensors"
        torch.save(load_file(path), path.with_name(f"{'pytorch_model' if part == 'text_encoder' else path.stem}.bin"))
        path.unlink()
    return out


def state(folder: Path, part: str) -> dict[str, torch.Tensor]:
    return load_file(folder / part / f"{WEIGHTS[part]}.safetensors")


def test_a_folder_of_pickled_weights(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = pickled(Path(tiny_painter.base), tmp_path / "old", *WEIGHTS)
    (source / "safety_checker").mkdir()
    torch.save({"x": torch.zeros(1)}, source / "safety_checker" / "pytorch_model.bin")
    (source / "v1-5-pruned.ckpt").write_bytes(b"7" * 9)
    index = json.loads((source / "model_index.json").read_text())
    (source / "model_index.json").write_text(json.dumps({**index, "safety_checker": ["stable_diffusion", "X"]}))
    with pytest.raises(UserError, match="has pickled weights only"):
        validation.check_model(str(source))
    lines = convert(source, tmp_path / "new")
    assert "text_encoder/pytorch_model.bin -> model.safetensors" in lines
    assert "v1-5-pruned.ckpt: left out, no job reads it" in lines and len(lines) == 4
    for part in WEIGHTS:
        want, got = state(Path(tiny_painter.base), part), state(tmp_path / "new", part)
        assert want.keys() == got.keys() and all(torch.equal(want[name], got[name]) for name in want)
    assert json.loads((tmp_path / "new" / "model_index.json").read_text())["safety_checker"] == [None, None]
    assert not (tmp_path / "new" / "safety_checker").exists()
    loading.load(str(tmp_path / "new"), tiny_painter)


def test_sharded_pickles_keep_their_parts(tmp_path: Path) -> None:
    source = tmp_path / "judge"
    source.mkdir()
    files = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    for name, file in files.items():
        torch.save({name: torch.full((2,), 7.0)}, source / file)
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    convert(source, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())["weight_map"]
    assert found == {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    assert load_file(tmp_path / "out" / found["b"])["b"].tolist() == [7.0, 7.0]


def test_pickles_beside_safetensors_are_left_out(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_painter.base, tmp_path / "both"))
    (source / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not even opened")
    assert convert(source, tmp_path / "out") == [
        "unet/diffusion_pytorch_model.bin: left out, diffusion_pytorch_model.safetensors is there"
    ]


class _Orders:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this ran",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (lambda path: torch.save({"a": torch.zeros(1), "b": _Orders()}, path), "it holds more than tensors"),
        (lambda path: torch.save({"a": 3}, path), "it holds no tensors"),
        (
            lambda path: path.write_bytes(b"<html>404</html>"),
            "it is no file that torch wrote, or is cut short|more than",
        ),
        (lambda path: path.write_bytes(b""), "it is no file that torch wrote, or is cut short"),
    ],
)
def test_a_file_that_is_no_weights_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: Any, line: str
) -> None:
    source = tmp_path / "clip"
    source.mkdir()
    content(source / "pytorch_model.bin")
    with pytest.raises(UserError, match=line):
        convert(source, tmp_path / "out")
    assert "this ran" not in capfd.readouterr().out and not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_single_file_is_taken_apart(tiny_painter: DiffusionConfig, tmp_path: Path, ending: str) -> None:
    base = Path(tiny_painter.base)
    changed = {name: value + 0.125 if value.is_floating_point() else value for name, value in single_file(base).items()}
    file = tmp_path / f"shop.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": changed, "global_step": 3}, file)
    else:
        save_file(changed, file)
    with pytest.raises(UserError, match=r"is a single file, which says nothing of its architecture; add config=FOLDER"):
        convert(file, tmp_path / "out")
    assert convert(file, tmp_path / "out", base) == [f"shop.{ending} -> scheduler, text_encoder, tokenizer, unet, vae"]
    for part in WEIGHTS:
        want, got = state(base, part), state(tmp_path / "out", part)
        bare = {name.removeprefix("text_model."): value for name, value in got.items()}
        for name, value in want.items():
            torch.testing.assert_close(bare[name.removeprefix("text_model.")], value + 0.125, rtol=0, atol=0)
    loading.load(str(tmp_path / "out"), tiny_painter)


def test_what_is_not_there_or_there_already(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in=/nowhere is not there"):
        convert(Path("/nowhere"), tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        convert(Path(tiny_painter.base), Path(tiny_painter.clip))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no weights that this job knows"):
        convert(tmp_path / "empty", tmp_path / "out")
