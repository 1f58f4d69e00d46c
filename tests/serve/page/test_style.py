"""The field for a reference: shown only by a service that can use one; by mouse, keys, drop and paste."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from p2i_ray.generators.request import GeneratorRequest
from tests.support.page_browser import COFFEE, NAME, PHONE, Visit, visit
from tests.support.page_server import SIDE, RunningService, open_service

GIVE = """([bytes, way, place]) => { const transfer = new DataTransfer();
transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
const event = way === "paste" ? new ClipboardEvent("paste", options) : new DragEvent(way, options);
document.querySelector(place).dispatchEvent(event); }"""


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with open_service(tmp_path_factory.mktemp("jobs"), styled=True) as service:
        yield service


def scene(height: int = 200, width: int = 300) -> bytes:
    """Blue at the left and right, and in the middle square, columns 50 to 250, red over green."""
    pixels = np.full((height, width, 3), (0, 0, 255), np.uint8)
    left = (width - height) // 2
    pixels[: height // 2, left : left + height] = (255, 0, 0)
    pixels[height // 2 :, left : left + height] = (0, 255, 0)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def file(content: bytes) -> dict[str, Any]:
    return {"name": "style.png", "mimeType": "image/png", "buffer": content}


def check_painted(here: Visit, service: RunningService) -> None:
    """Check that all four were asked for in the style of the scene's middle square."""
    assert len(service.sampler.requests) == 4
    for request in service.sampler.requests:
        assert isinstance(request, GeneratorRequest)
        [reference] = request.references
        assert reference.picture.shape == (SIDE, SIDE, 3)
        assert (reference.picture[: SIDE // 2 - 4] == (255, 0, 0)).all()
        assert (reference.picture[SIDE // 2 + 4 :] == (0, 255, 0)).all()
    assert here.uploaded("reference").size == (200, 200)


def test_a_service_without_that_generator_does_not_ask(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        expect(here.page.locator("#style")).to_be_hidden()
        here.submit()
        here.see_results()
        assert b'name="reference"' not in service.bodies[-1][1]
        here.check_clean()


def test_keys_alone_are_enough(browser: Browser, styled: RunningService) -> None:
    with visit(browser, styled) as here:
        page, keys = here.page, here.page.keyboard

        def tab_to(selector: str) -> None:
            for _ in range(25):
                keys.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    return
            raise AssertionError(f"Tab never reaches {selector}")

        here.choose(COFFEE)
        tab_to("#name")
        keys.type(NAME)
        tab_to("#style-file")
        assert page.locator("#style .button").evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"
        with page.expect_file_chooser() as chooser:
            keys.press("Enter")
        chooser.value.set_files(file(scene()))
        expect(page.locator("#spoken")).to_contain_text("The picture for the style is there")
        expect(page.get_by_role("img", name="The picture in whose style is painted")).to_be_visible()
        tab_to("#style-remove")
        keys.press("Enter")
        expect(page.locator("#spoken")).to_contain_text("The picture for the style is removed")
        expect(page.locator("#style-picture")).to_be_hidden()
        assert page.evaluate("document.activeElement.id") == "style-file"
        with page.expect_file_chooser() as chooser:
            keys.press("Enter")
        chooser.value.set_files(file(scene()))
        expect(page.locator("#style-picture")).to_be_visible()
        tab_to("#paint")
        keys.press("Enter")
        here.see_results()
        check_painted(here, styled)
        here.check_clean()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_that_is_given_to_the_field_is_no_photo(browser: Browser, styled: RunningService, way: str) -> None:
    with visit(browser, styled) as here:
        here.choose(COFFEE)
        here.page.focus("#style-file")
        if way == "drop":
            here.page.evaluate(GIVE, [list(scene()), "dragover", "#style"])
            assert here.page.evaluate("document.body.className") == "dropping-style"
        here.page.evaluate(GIVE, [list(scene()), way, "#style-note"])
        expect(here.page.locator("#style-picture")).to_be_visible()
        assert here.page.evaluate("document.body.className") == ""
        here.submit()
        here.see_results()
        check_painted(here, styled)
        assert here.uploaded("image").size == (600, 400)
        here.page.get_by_role("button", name="Remove it").click()
        styled.sampler.requests.clear()
        here.page.get_by_role("button", name="Paint four others").click()
        here.see_results()
        styled.wait_until(lambda: len(styled.sampler.requests) == 4)
        assert not any(getattr(request, "references", ()) for request in styled.sampler.requests)
        here.check_clean()


def test_what_cannot_be_a_reference_is_told(browser: Browser, styled: RunningService) -> None:
    with visit(browser, styled) as here:
        page = here.page
        clear = io.BytesIO()
        Image.new("RGBA", (40, 40)).save(clear, "PNG")
        page.set_input_files("#style-file", file(clear.getvalue()))
        expect(page.locator("#style-error")).to_have_text(
            "This picture has transparent parts, so it shows no scene. Use a whole photo."
        )
        page.set_input_files("#style-file", file(b"text"))
        expect(page.locator("#style-error")).to_contain_text("can't be opened as a picture")
        page.set_input_files("#style-file", file(scene()))
        expect(page.locator("#style-error")).to_be_hidden()
        flat = io.BytesIO()
        Image.new("RGB", (40, 40), (9, 9, 9)).save(flat, "PNG")
        page.set_input_files("#style-file", file(flat.getvalue()))
        here.choose(COFFEE)
        here.submit()
        expect(page.locator("#painting .error")).to_contain_text("the reference has no background")
        here.check_clean(allowed="400 (Bad Request)")


def test_on_a_phone_it_fits(browser: Browser, styled: RunningService) -> None:
    with visit(browser, styled, **PHONE) as here:
        here.page.set_input_files("#style-file", file(scene()))
        expect(here.page.locator("#style-picture")).to_be_visible()
        assert here.fits()
        here.check_clean()
