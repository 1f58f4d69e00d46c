"""Models that can't be a judge are one-line errors before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.judge.engines.model_folder import check

VISION = {"model_type": "qwen2_5_vl", "vision_config": {}}


def folder(root: Path, config: dict | str | None, *files: str) -> str:
    root.mkdir(exist_ok=True)
    if config is not None:
        (root / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name in files:
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
