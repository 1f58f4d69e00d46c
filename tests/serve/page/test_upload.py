"""Files that are given together: pictures, and what is none."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.support.page_browser import Visit, visit
from tests.support.page_server import RunningService

BLANK = io.BytesIO()
Image.new("RGB", (120, 80), "grey").save(BLANK, "PNG")
PICTURE = ("mug.png", "image/png", BLANK.getvalue())
# A browser has no kind for what it doesn't know, as HEIC on most systems.
PHONE_PICTURE = ("IMG_2031.HEIC", "", b"\0\0\0\x18ftypheic")
TABLE = ("list.csv", "text/csv", b"image,name")

DROP = """([files, place]) => { const transfer = new DataTransfer();
for (const [name, type, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
document.querySelector(place).dispatchEvent(new DragEvent("drop", options)); }"""


def drop(here: Visit, *files: tuple[str, str, bytes], place: str = "body") -> None:
    here.page.evaluate(DROP, [[[name, kind, list(content)] for name, kind, content in files], place])


@pytest.mark.parametrize(
    "files, words, unopened",
    [
        ([PICTURE, PICTURE, PHONE_PICTURE], "2 products", "IMG_2031.HEIC"),
        ([PICTURE, TABLE, PHONE_PICTURE], "One product", "list.csv, IMG_2031.HEIC"),
        ([TABLE, PHONE_PICTURE], "No product", "list.csv, IMG_2031.HEIC"),
    ],
)
def test_what_is_no_picture_among_several_files_is_named(
    browser: Browser, service: RunningService, files: list[Any], words: str, unopened: str
) -> None:
    with visit(browser, service) as here:
        drop(here, *files)
        expect(here.page.get_by_role("heading", name=words)).to_be_focused()
        expect(here.page.locator("#products-error")).to_have_text(
            f"Can't be opened as pictures: {unopened}. Use PNG, JPEG or WebP."
        )
        here.check_clean()


def test_what_is_dropped_on_the_list_and_is_no_picture_is_named(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        drop(here, PICTURE, PICTURE)
        expect(here.page.get_by_role("heading", name="2 products")).to_be_focused()
        drop(here, PHONE_PICTURE, place="#products-list")
        expect(here.page.locator("#products-error")).to_contain_text("Can't be opened as pictures: IMG_2031.HEIC.")
        expect(here.page.locator("#drop")).to_be_visible()
        here.check_clean()
