"""Which settings differ from those of the call before; real settings, as ingest records them."""

from __future__ import annotations

import json
from typing import Any

from p2i_ray.data.cleaning.settings import CleaningConfig
from p2i_ray.data.cutouts.settings import CutoutConfig, CutterConfig
from p2i_ray.data.sources.earlier_settings import differing
from p2i_ray.data.sources.tasks import IngestConfig


def recorded(**changed: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(IngestConfig(**changed).model_dump(mode="json"))))


def test_the_values_of_before_are_named() -> None:
    now = recorded(
        cutter=CutterConfig(kind="onnx", model="a.onnx", family="isnet", labels=("cup",)),
        cutout=CutoutConfig(clear_pixels="photo", min_share=0.1),
        lossless=True,
    )
    assert differing(recorded(), now) == [
        "ingest.cutout.clear_pixels=filled",
        "ingest.cutout.min_share=0.02",
        "ingest.cutter.family=None",
        "ingest.cutter.kind=grabcut",
        "ingest.cutter.labels=[]",
        "ingest.cutter.model=None",
        "ingest.lossless=False",
    ]


def test_what_changes_no_row_and_what_an_earlier_version_lacked_is_passed_over() -> None:
    now = recorded(rows_per_file=7, num_cpus=0.2, cutter=CutterConfig(batch_size=9, memory_gib=1))
    assert differing(recorded(), now) == [] and differing({}, now) == []
    before = recorded()
    del before["cleaning"]["min_side"]
    assert differing(before, recorded(cleaning=CleaningConfig(min_side=9))) == []
