"""jobs/models.py against a stand-in of the hub: what is fetched, checked, gone on with and refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from p2i_ray.config import DiffusionConfig
from tests.support.hub_server import COMMIT, Hub, serving

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.heavy  # the job is a process: huggingface_hub reads its variables when it is imported


@pytest.fixture
def hub(tiny_painter: DiffusionConfig) -> Iterator[Hub]:
    """A judge, a base model and a CLIP, as they are published."""
    with serving() as found:
        base, clip = (
            {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
            for folder in (tiny_painter.base, tiny_painter.clip)
        )
        found.files = {
            "shop/judge": {
                "config.json": b'{"model_type": "qwen2_5_vl", "vision_config": {}}',
                "model.safetensors": save({"a": np.zeros(50_000, np.float32)}),
                "pytorch_model.bin": b"\x80" * 9,
            },
            "shop/base": {**base, "unet/diffusion_pytorch_model.bin": b"7" * 9, "v1.ckpt": b"7" * 9},
            "shop/clip": clip,
            "shop/old": {"config.json": b"{}", "pytorch_model.bin": b"\x80"},
        }
        yield found


def run(hub: Hub, out: Path, **repositories: str) -> subprocess.CompletedProcess[str]:
    folders = {"judge.model": "judge", "diffusion.base": "base", "diffusion.clip": "clip", "evaluate.clip": "clip"}
    given = [f"{setting}={out / name}" for setting, name in folders.items()]
    given += [f"hub.{name}={repository}" for name, repository in repositories.items()]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(out / "home")}
    command = [sys.executable, str(ROOT / "jobs" / "models.py"), "--config", "mini", *given]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_what_a_preset_names_is_fetched_checked_and_recorded(hub: Hub, tmp_path: Path) -> None:
    names = {"judge_model": "shop/judge", "diffusion_base": "shop/base"}
    ran = run(hub, tmp_path, **names, diffusion_clip="shop/clip", evaluate_clip="shop/clip")
    assert ran.returncode == 0, ran.stderr
    assert [line.partition("=")[0] for line in ran.stdout.splitlines() if line.endswith(": complete")] == [
        "judge.model",
        "diffusion.base",
        "diffusion.clip",
    ]
    found = {str(path.relative_to(tmp_path / "judge")) for path in (tmp_path / "judge").iterdir() if path.is_file()}
    assert found == {"config.json", "model.safetensors", ".fetched.json"}
    assert not list((tmp_path / "base").rglob("*.bin")) and not (tmp_path / "base" / "v1.ckpt").exists()
    record = json.loads((tmp_path / "judge" / ".fetched.json").read_text())
    assert (record["repository"], record["revision"], record["complete"]) == ("shop/judge", COMMIT, True)
    hub.asked.clear()
    again = run(hub, tmp_path, **names)
    assert again.returncode == 0 and "0.00 GB to fetch" in again.stdout
    assert not [one for one in hub.asked if one[0] == "GET"]


def test_a_file_that_was_cut_off_is_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    # The library writes pieces of 10 MiB, and so goes on at one's end.
    hub.files["shop/judge"]["model.safetensors"] = save({"a": np.arange(3_000_000, dtype=np.float32)})
    hub.cut_after["model.safetensors"] = 11_500_000
    ran = run(hub, tmp_path, judge_model="shop/judge")
    if ran.returncode:  # huggingface_hub may go on by itself
        assert "run the same command again, it goes on where it was" in ran.stderr.splitlines()[-1]
        ran = run(hub, tmp_path, judge_model="shop/judge")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "judge" / "model.safetensors").read_bytes() == hub.files["shop/judge"]["model.safetensors"]
    assert ("GET", "model.safetensors", f"bytes={10 << 20}-") in hub.asked


def test_a_file_that_isn_t_what_the_hub_says_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.lie = {"model.safetensors"}
    ran = run(hub, tmp_path, judge_model="shop/judge")
    assert ran.returncode == 2 and ran.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "judge" / "model.safetensors").exists()
    assert not json.loads((tmp_path / "judge" / ".fetched.json").read_text())["complete"]
    hub.lie = set()
    assert run(hub, tmp_path, judge_model="shop/judge").returncode == 0


def test_what_can_t_be_had_is_a_line_and_keeps_nothing_back(hub: Hub, tmp_path: Path) -> None:
    hub.gated = {"shop/base"}
    hub.files["shop/base"] = hub.files["shop/base"]
    given = {"judge_model": "shop/judge", "diffusion_base": "shop/base", "diffusion_clip": "shop/nowhere"}
    ran = run(hub, tmp_path, **given)
    assert ran.returncode == 2 and f"judge.model={tmp_path / 'judge'}: complete" in ran.stdout
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("error: 2 of 3 folders are not filled: diffusion.base=")
    assert "asks for its licence to be accepted" in last and "the hub has no such repository" in last
    for repository, line in (
        ("shop/old", "shop/old@main: it has no safetensors weights"),
        ("shop/judge@v9", "shop/judge@v9: the repository has no such revision"),
        ("judge", "'judge' is no repository of the hub"),
    ):
        ran = run(hub, tmp_path / "none", judge_model=repository)
        assert ran.returncode == 2 and line in ran.stderr.splitlines()[-1]
    assert "names no repositories" in run(hub, tmp_path).stderr


def test_what_is_the_users_own_is_neither_overwritten_nor_removed(hub: Hub, tmp_path: Path) -> None:
    own = tmp_path / "judge" / "model.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    ran = run(hub, tmp_path, judge_model="shop/judge")
    assert ran.returncode == 2 and "holds model.safetensors, which was not fetched from shop/judge" in ran.stderr
    assert own.read_bytes() == b"mine"
    own.unlink()
    assert run(hub, tmp_path, judge_model="shop/judge").returncode == 0
    (tmp_path / "judge" / "pytorch_model.bin").write_bytes(b"mine")  # not the hub's, and not asked for
    assert run(hub, tmp_path, judge_model="shop/judge").returncode == 0
    assert (tmp_path / "judge" / "pytorch_model.bin").read_bytes() == b"mine"
    hub.files["shop/other"] = hub.files["shop/judge"]
    ran = run(hub, tmp_path, judge_model="shop/other")
    assert ran.returncode == 2 and "was not fetched from shop/other" in ran.stderr
    (tmp_path / "base").write_bytes(b"")
    assert "it is a file; give a folder" in run(hub, tmp_path, diffusion_base="shop/base").stderr


def test_weights_of_an_earlier_commit_are_removed(hub: Hub, tmp_path: Path) -> None:
    assert run(hub, tmp_path, judge_model="shop/judge").returncode == 0
    record = tmp_path / "judge" / ".fetched.json"
    (tmp_path / "judge" / "model-00001-of-00001.safetensors").write_bytes(b"as the earlier commit had it")
    earlier = {**json.loads(record.read_text()), "files": ["config.json", "model-00001-of-00001.safetensors"]}
    record.write_text(json.dumps(earlier))
    assert run(hub, tmp_path, judge_model="shop/judge").returncode == 0
    assert not (tmp_path / "judge" / "model-00001-of-00001.safetensors").exists()
    assert json.loads(record.read_text())["files"] == ["config.json", "model.safetensors"]


def test_a_repository_of_another_kind_is_a_line(hub: Hub, tmp_path: Path) -> None:
    ran = run(hub, tmp_path, diffusion_clip="shop/judge")
    assert ran.returncode == 2 and "holds a qwen2_5_vl, no CLIP" in ran.stderr.splitlines()[-1]
