"""Models that can't be a judge are one-line errors before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from p2i_ray.errors import UserError
from p2i_ray.judge.engines.model_folder import check, fingerprint

VISION = {"model_type": "qwen2_5_vl", "vision_config": {}}


def folder(root: Path, config: dict | str | None, *files: str) -> str:
    root.mkdir(exist_ok=True)
    if config is not None:
        (root / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in files:
        if name.endswith(".safetensors"):
            save_file({"a": np.zeros(3, np.float32)}, root / name)
        else:
            (root / name).touch()
    return str(root)


@pytest.mark.parametrize(
    ("config", "files", "line"),
    [
        (None, ["model.safetensors"], "no config.json"),
        ("{", ["model.safetensors"], "not JSON"),
        ({"model_type": "llama"}, ["model.safetensors"], "not a vision-language model"),
        (VISION, [], "no weights"),
        (VISION, ["pytorch_model.bin"], "only pickle weights"),
        (VISION, ["model.pt"], "only pickle weights"),
        ({"model_type": "own", "auto_map": {}, "vision_config": {}}, ["model.safetensors"], "remote code"),
    ],
)
def test_refusals(tmp_path: Path, config: dict | str | None, files: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        check(folder(tmp_path / "judge", config, *files))


def test_a_path_that_vllm_takes_for_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"takes the brackets in \S+/judge\[1\] for a pattern, .*; rename that folder"):
        check(folder(tmp_path / "judge[1]", VISION, "model.safetensors"))
    check(folder(tmp_path / "j*dg?e [", VISION, "model.safetensors"))  # these find themselves


@pytest.mark.parametrize(
    "model", ["/nowhere/judge", "nowhere", "p2i_ray/nowhere", "hub/not-in-the-cache", "s3://bucket/judge"]
)
def test_a_missing_folder_is_named(model: str) -> None:
    with pytest.raises(UserError, match=model):
        check(model)


def test_a_judge_is_taken_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "judge", VISION, "model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert check("judge") == str((tmp_path / "judge").resolve())


def test_remote_code_by_habit_only_is_no_obstacle(tmp_path: Path) -> None:
    check(folder(tmp_path / "judge", {**VISION, "auto_map": {"AutoConfig": "x.Y"}}, "model.safetensors"))


def test_half_a_download(tmp_path: Path) -> None:
    judge = Path(folder(tmp_path / "judge", VISION, "model-00001-of-00002.safetensors"))
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (judge / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"has 1 of 2 files .* fetch model-00002-of-00002.safetensors"):
        check(str(judge))
    (judge / "model.safetensors.index.json").unlink()
    weights = judge / "model-00001-of-00002.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match="is cut short"):
        check(str(judge))


def test_judges_whose_files_are_links_are_told_apart(tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        (tmp_path / f"{name}-blob").write_text(name)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").symlink_to(f"../{name}-blob")
        found.append(fingerprint(str(folder)))
    assert found[0] != found[1]
