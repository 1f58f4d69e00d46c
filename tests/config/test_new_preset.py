"""A preset that a job writes for a user's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import Config, load, new_preset, presets
from p2i_ray.config.loading import given_settings
from p2i_ray.errors import UserError


class Job(Config):
    run_dir: str
    data: str


def test_a_preset_for_a_data_folder_reads_back(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: mini\nseed: 7\n")
    used = load(Config, str(tmp_path / "base.yaml"), ["image.resolution=128", "idr.steps=[1]"])
    location = tmp_path / "new" / "Über uns: #1.yaml"
    data = "/data/a: 'b' #c\nd"
    new_preset.check_free(str(location))
    location.parent.mkdir()
    location.write_text(new_preset.text(used, str(location), data, given_settings(used)), "utf-8")
    written = load(Job, str(location))
    assert (written.data, written.run_dir) == (data, "runs/Über uns: #1")
    assert (written.seed, written.image.resolution, written.idr.steps) == (7, 128, (1,))
    assert presets.read(str(location))[1].source == str(tmp_path / "base.yaml")
    text = location.read_text("utf-8")
    assert "judge of the mini preset" in text and all(
        line.startswith("#") for line in text.split("\nextends")[0].split("\n")
    )
    with pytest.raises(UserError, match="is there already"):
        new_preset.check_free(str(location))
    new_preset.check_free(str(location), text)  # written by the same command before
    with pytest.raises(UserError, match="is there already"):
        new_preset.check_free(str(location), f"{text}\n")


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("mini", "preset 'mini' has the name of a preset of ours"),
        ("s3://bucket/mine.yaml", "must be a local file"),
        ("/tmp", "is a folder"),
    ],
)
def test_a_preset_that_could_not_be_read_is_not_written(location: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        new_preset.check_free(location)


def test_a_judge_that_was_not_trained_on_the_toy_world_is_not_warned_of() -> None:
    used = load(Config, "mini", ["judge.model=/models/Qwen2.5-VL-7B-Instruct"])
    text = new_preset.text(used, "mine.yaml", "/data", given_settings(used))
    assert "toy world" not in text and "extends: mini\n" in text and "model: /models/Qwen2.5-VL-7B-Instruct" in text
