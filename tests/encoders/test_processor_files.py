"""Whether a CLIP says how its pictures are prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.encoders import processor_files
from p2i_ray.errors import UserError


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
def test_either_file_tells(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"evaluate.clip={tmp_path} has no preprocessor_config.json; copy that of"):
        processor_files.check(str(tmp_path), setting="evaluate.clip")
    (tmp_path / name).write_text("{}")
    processor_files.check(str(tmp_path), setting="evaluate.clip")
    assert processor_files.there(str(tmp_path)) == [f"{tmp_path}/{name}"]
