"""jobs/convert.py as it is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from jobs import convert
from p2i_ray.config import DiffusionConfig
from p2i_ray.errors import UserError
from p2i_ray.storage import locations
from tests.support.ldm_layout import single_file

pytestmark = pytest.mark.heavy


def test_a_single_file_that_is_a_link_of_a_hub_s_cache(
    tiny_painter: DiffusionConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(single_file(Path(tiny_painter.base)), tmp_path / "0a1b")  # a blob, whose name tells nothing
    (tmp_path / "shop.safetensors").symlink_to("0a1b")
    (tmp_path / "out").mkdir()  # empty: a volume's folder
    given = {"in": str(tmp_path / "shop.safetensors"), "config": f"{tiny_painter.base}/", "out": f"{tmp_path}/out/"}
    convert.run(convert.ConvertJob.model_validate(given))
    assert capsys.readouterr().out.endswith(f"{tmp_path}/out: a model to train and paint with\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"model_index.json", "unet", "vae"}
    assert not list((tmp_path / "out").glob(".p2i*"))


def test_a_folder_without_rights_is_one_line_before_anything_is_converted(
    tiny_painter: DiffusionConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(locations, "write_text", refuse)
    with pytest.raises(UserError, match=r"can't write, read and delete files in .*/out: .*Permission denied"):
        convert.run(convert.ConvertJob.model_validate({"in": tiny_painter.base, "out": str(tmp_path / "out")}))
    assert not list((tmp_path / "out").iterdir())
