"""Environment variables that are set for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from p2i_ray.config.environment import ENVIRONMENT

PATIENT = {name: value for name, value in ENVIRONMENT.items() if name.startswith("AWS_")}  # how often S3 is asked


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield
