"""Figure 6, of evaluations whose pictures are known."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from p2i_ray.comparison import figures
from p2i_ray.comparison.results import Case, Evaluated, Results
from p2i_ray.config import ImageConfig
from p2i_ray.data.images import encode_png
from p2i_ray.diffusion.sampling.generate import schema

LOOP, OTHER, ABSENT = Case("feedback", 2, "test"), Case("sd_inpainting", 0, "test"), Case("lama", 0, "test")


def evaluated(out: Path, case: Case, seed: int) -> Evaluated:
    """One with two products, whose pictures are of the grey level 10 x seed; the baseline's are brighter by 100."""
    level = 10 * seed + (100 if case == OTHER else 0)
    cutout = {"bytes": encode_png(np.zeros((8, 8, 4), np.uint8)), "path": None}
    picture = {"bytes": encode_png(np.full((8, 8, 3), level, np.uint8)), "path": None}
    rows = [{"id": id_, "name": id_, "category": id_, "image": picture, "cutout": cutout} for id_ in ("a", "b")]
    folder = f"{case.name}-{seed}"
    (out / folder / "generated").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema()), out / folder / "generated" / "part.parquet")
    return Evaluated(
        name=case.name, number=case.number, variant=case.variant, split=case.split, seed=seed, folder=folder
    )


def level(uri: str | None) -> int:
    assert uri is not None
    return int(np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L"))[0, 0])


def test_the_seed_that_is_shown_is_the_first_of_the_settings_that_all_methods_have(tmp_path: Path) -> None:
    results = Results(
        str(tmp_path),
        [*(evaluated(tmp_path, LOOP, seed) for seed in (2, 0, 1)), *(evaluated(tmp_path, OTHER, s) for s in (1, 0))],
    )
    assert figures.shown_seed(results, [LOOP, ABSENT], (2, 0, 1)) == 2
    assert figures.shown_seed(results, [LOOP, OTHER], (2, 1, 0)) == 1
    assert figures.shown_seed(results, [ABSENT], (2, 1, 0)) is None
    cases = [("Ours", LOOP), ("LaMa", ABSENT), ("Theirs", OTHER)]
    found = figures.products(results, cases, seed=1, count=2, limits=ImageConfig(resolution=64))
    assert [product.name for product in found] == ["a", "b"]
    assert [shown.label for shown in found[0].shown] == ["cutout", "Ours", "Theirs"]
    assert [level(shown.uri) for shown in found[0].shown[1:]] == [10, 110]
