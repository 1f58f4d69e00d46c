"""Another family of judges: the same requests through vLLM's renderer of LLaVA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from p2i_ray.data.images import encode_png
from p2i_ray.judge.judge import Judge
from p2i_ray.mini.world import BALANCED, render
from p2i_ray.storage import parquet
from tests.support.tiny_llava import build


@pytest.mark.slow
def test_a_llava_is_a_judge_too(judge: Judge, tmp_path: Path) -> None:
    import ray

    model = build(tmp_path / "llava", judge.settings.model)
    settings = judge.settings.model_copy(update={"model": model, "max_model_len": 512})
    samples = [render(75, index, BALANCED) for index in range(12)]
    pictures = [encode_png(sample.image) for sample in samples]
    rows = [
        {"id": sample.id, "name": sample.name, "image": {"bytes": picture, "path": ""}}
        for sample, picture in zip(samples, pictures, strict=True)
    ]
    swapped = [{**row, "image": other["image"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    with Judge(settings, judge._image) as llava:
        found = [
            parquet.read_parquet(
                str(tmp_path / name), llava.score(ray.data.from_items(asked), str(tmp_path / name)).files
            )
            for name, asked in (("own", rows), ("swapped", swapped))
        ]
    assert [table["error"].null_count for table in found] == [12, 12]
    assert set(found[0]["score"].to_pylist()) <= {1, 2, 3, 4, 5}
    moved = np.abs(np.subtract(*(np.array(table["expected_score"]) for table in found)))
    assert (moved > 1e-4).mean() > 0.9  # it sees the picture
