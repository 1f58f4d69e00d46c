"""The data that a preset makes: whole or not at all, and no other folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.config import Config, load
from p2i_ray.data import preset_data
from p2i_ray.errors import UserError


@pytest.mark.heavy
def test_the_presets_own_data_are_made_whole_or_not_at_all(tmp_path: Path) -> None:
    data, module = tmp_path / "mine", tmp_path / "maker.py"
    given = load(Config, "mini", ["prepare=p2i_ray.nothing", f"prepare_data={data}/"])
    with pytest.raises(UserError, match=rf"p2i_ray.nothing --out {data}.making` failed; see above"):
        preset_data.ready(given, str(data))
    assert not data.exists()
    Path(f"{data}.making", "train").mkdir(parents=True)  # an interrupted attempt's
    module.write_text("import sys, pathlib\npathlib.Path(sys.argv[2]).mkdir()\n")
    made = given.model_copy(update={"prepare": "maker"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        assert preset_data.ready(made, f"{data}/") == str(data)
    assert list(data.iterdir()) == [] and not Path(f"{data}.making").exists()
    module.write_text("raise SystemExit(1)")
    preset_data.ready(made, str(data))  # they are there


def test_other_data_must_be_there(tmp_path: Path) -> None:
    config = load(Config, "mini")
    assert preset_data.ready(config, str(tmp_path)) == str(tmp_path)
    for given in (config, config.model_copy(update={"prepare": None})):
        with pytest.raises(UserError, match=rf"data {tmp_path}/typo is not there; check the path, or make it"):
            preset_data.ready(given, str(tmp_path / "typo"))
