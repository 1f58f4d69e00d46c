"""One shop for all tests that don't need their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.generator_parts import Shop, open_shop


@pytest.fixture(scope="session")
def _open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(str(tmp_path_factory.mktemp("jobs"))) as shop:
        yield shop


@pytest.fixture()
def shop(_open: Shop) -> Iterator[Shop]:
    """The shared shop, its painter as new."""
    _open.sampler.orders.clear()
    _open.sampler.cancelled = _open.sampler.most = 0
    yield _open
    _open.sampler.held, _open.sampler.fault, _open.sampler.loaded = False, None, True
