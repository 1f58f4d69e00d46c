"""One service for all tests that don't need their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.generator_parts import RunningService, open_service


@pytest.fixture(scope="session")
def _open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with open_service(str(tmp_path_factory.mktemp("jobs"))) as service:
        yield service


@pytest.fixture()
def service(_open: RunningService) -> Iterator[RunningService]:
    """The shared service, its stubs reset."""
    _open.sampler.requests.clear(), _open.sampler.reserved.clear()
    _open.sampler.cancelled = _open.sampler.most = 0
    yield _open
    _open.sampler.held, _open.sampler.fault, _open.sampler.loaded = False, None, True
    _open.sampler.refusal = _open.sampler.pace = None
