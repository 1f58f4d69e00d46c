"""A browser and a service for the tests of the page; each file has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.page_browser import open_browser
from tests.support.page_server import RunningService, open_service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with open_service(tmp_path_factory.mktemp("jobs")) as service:
        yield service
