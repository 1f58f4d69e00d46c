"""`python jobs/train.py`, as a user runs it: bad input is one line, and a killed job goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kill_when import kill_when

ROOT = Path(__file__).parents[2]
PAINTER = ROOT / "p2i_ray" / "mini" / "weights" / "diffusion"


def command(data: str, out: Path, *settings: str) -> list[str]:
    return [sys.executable, "jobs/train.py", "--config", "mini", f"data={data}", f"out={out}", *settings]


def refused(*settings: str, out: Path, data: str = "nowhere") -> str:
    done = subprocess.run(command(data, out, *settings), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_bad_input_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(PAINTER, plain)
    config = json.loads((plain / "unet" / "config.json").read_text())
    (plain / "unet" / "config.json").write_text(json.dumps({**config, "in_channels": 4}))
    out = tmp_path / "model"
    assert "train.batch_size=32 can't be shared by train.num_workers=3" in refused("train.num_workers=3", out=out)
    assert "has 4 input channels" in (line := refused(f"model={plain}", out=out)) and "diffusion.widen=true" in line
    assert "image.resolution=70" in refused("image.resolution=70", out=out)
    assert "data" in refused(out=out) and not out.exists() and not Path(f"{out}.work").exists()


@pytest.mark.slow
def test_killed_while_encoding_and_while_training_it_ends_like_an_undisturbed_one(
    tmp_path: Path, mini_data: str
) -> None:
    settings = ["steps=30", "train.batch_size=8", "train.checkpointing_steps=5", "train.ema_decay=0.9"]
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    subprocess.run(command(mini_data, calm, *settings), cwd=ROOT, check=True)
    for moment in ("stormy.work/features-cache", "stormy.work/train/checkpoint_manager_snapshot.json"):
        kill_when(subprocess.Popen(command(mini_data, stormy, *settings), cwd=ROOT), tmp_path / moment)
        assert not stormy.exists()
    subprocess.run(command(mini_data, stormy, *settings), cwd=ROOT, check=True)
    results = []
    for folder in (calm, stormy):
        weights = sorted(folder.rglob("*.safetensors"))
        digests = {str(w.relative_to(folder)): hashlib.sha256(w.read_bytes()).hexdigest() for w in weights}
        results.append((json.loads((folder / "training.json").read_text())["steps"], digests))
    assert results[0] == results[1]
    assert not Path(f"{stormy}.work").exists()
