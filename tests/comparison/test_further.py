"""Further metrics of a finished evaluation: its pictures must be those that the command would paint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2i_ray.comparison import further
from p2i_ray.comparison.evaluation import Evaluation
from p2i_ray.config import Config, load
from p2i_ray.config.baseline import Method
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.errors import UserError


def evaluation(folder: Path, method: Method) -> Evaluation:
    """An evaluation of a split and a model that are a file each."""
    for name in ("data/test/rows.parquet", "model/model_index.json"):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_bytes(b"content")
    config = load(Config, "mini", [])
    painting = Painting(config.diffusion, method)
    return Evaluation(config, str(folder / "data"), "test", str(folder / "model"), painting, metrics=("clip_c_b",))


@pytest.mark.parametrize("painted", ["product2img", "sd_inpainting"])
@pytest.mark.parametrize("asked", ["product2img", "sd_inpainting"])
def test_pictures_of_another_method_are_not_taken_for_its_own(painted: Method, asked: Method, tmp_path: Path) -> None:
    """Also where a baseline painted them and the command names none, which has less that its pictures depend on."""
    out, note = tmp_path / "out", {"asked": evaluation(tmp_path, painted).painted_by, "files": []}
    out.mkdir()
    (out / "generated.json").write_text(json.dumps(note))
    if painted == asked:
        further.check(evaluation(tmp_path, asked), str(out))
    else:
        with pytest.raises(UserError, match=r"were painted with something else \(method, baseline\); give"):
            further.check(evaluation(tmp_path, asked), str(out))
