"""A place in each kind of store: a disk, fsspec's memory://, moto's S3, an emulator of Google's storage."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

ODD = " [1] ä*b::c"  # what fsspec would expand, what URIs escape, and what it chains file systems by


@pytest.fixture(params=["disk", "memory", "s3", "gs", *(f"{store}{ODD}" for store in ("disk", "memory", "s3"))])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    store, odd = request.param.removesuffix(ODD), ODD if request.param.endswith(ODD) else ""
    if store == "disk":
        return str(tmp_path / f"root{odd}")
    bucket = "memory:/"
    if store == "s3":
        bucket = request.getfixturevalue("s3_bucket").uri
    elif store == "gs":
        bucket = request.getfixturevalue("gs_bucket")
    return f"{bucket}/{uuid.uuid4().hex}{odd}"
