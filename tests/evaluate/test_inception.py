"""The file that FID in Inception's features needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from p2i_ray.config import EvaluateConfig
from p2i_ray.errors import UserError
from p2i_ray.evaluate import inception

SETTINGS = EvaluateConfig(clip="clip", fid_features="inception")


def test_a_missing_file_is_named_with_where_it_is_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    with pytest.raises(UserError, match=f"needs {file}; put https://.* there, or set evaluate.fid_features=clip"):
        inception.check(SETTINGS)
    file.parent.mkdir(parents=True)
    file.touch()
    inception.check(SETTINGS)


def test_it_is_looked_for_where_torch_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inception.weights().parents[1] == Path(torch.hub.get_dir())
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        assert inception.weights().parents[1] == Path(torch.hub.get_dir())
        monkeypatch.delenv(name)


def test_clip_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    inception.check(SETTINGS.model_copy(update={"fid_features": "clip"}))
