"""The shape of the frame and the product's place in it: by pointer and by keys. What the page sends is caught."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from p2i_ray.serve.images.marketplaces import MARKETPLACES
from tests.support.page_browser import PHONE, Visit, visit
from tests.support.page_server import RunningService

REFUSAL = {"error": {"message": "caught", "type": "invalid_request_error", "param": None, "code": None}}


@pytest.fixture
def here(browser: Browser, service: RunningService) -> Iterator[Visit]:
    with visit(browser, service) as here:
        yield here


def box(width: int, height: int, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    """A picture, transparent but for a red box."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[top:bottom, left:right] = (200, 30, 30, 255)
    out = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(out, "PNG")
    return {"name": "a.png", "mimeType": "image/png", "buffer": out.getvalue()}


def sent(here: Visit) -> dict[str, str]:
    """The fields that are sent; the server isn't asked."""
    bodies: list[bytes] = []

    def catch(route: Route) -> None:
        bodies.append(route.request.post_data_buffer or b"")
        route.fulfill(status=400, json=REFUSAL)

    here.page.route("**/v1/images/edits", catch)
    here.submit()
    expect(here.page.locator("#painting").get_by_role("alert")).to_have_text("Caught.")
    here.page.unroute("**/v1/images/edits")
    fields = re.findall(rb'name="(\w+)"\r\n\r\n([^\r]*)\r\n', bodies[-1])
    return {name.decode(): value.decode() for name, value in fields}


def open_choices(here: Visit) -> None:
    here.page.get_by_text("Shape, place, format, seed").click()


def place(found: dict[str, str]) -> tuple[float, ...]:
    assert found["placement"] == "product"
    return tuple(float(found[name]) for name in ("product_share", "product_x", "product_y"))


def test_nothing_is_sent_that_was_not_changed(here: Visit) -> None:
    here.choose(box(400, 200, 150, 50, 250, 150))
    open_choices(here)
    expect(here.page.get_by_role("application", name="Where the product stands")).to_be_visible()
    found = sent(here)
    assert not {"size", "placement", "product_share", "product_x", "product_y", "marketplace"} & found.keys()


def aspect(here: Visit) -> float:
    stage = here.page.locator("#stage").bounding_box()
    assert stage is not None
    return stage["width"] / stage["height"]


def test_an_automatic_shape_is_the_photos(here: Visit) -> None:
    here.choose(box(400, 200, 150, 50, 250, 150))
    open_choices(here)
    assert aspect(here) == pytest.approx(2, rel=0.02)
    stage = here.page.locator("#stage")
    stage.focus()
    stage.press("Shift+ArrowRight")
    assert place(sent(here)) == pytest.approx((0.5, 0.6, 0.5), abs=0.01)


@pytest.mark.parametrize("shape", ["1:1", "4:5", "3:4", "16:9"])
def test_a_shape(here: Visit, shape: str) -> None:
    here.choose(box(400, 200, 150, 50, 250, 150))
    open_choices(here)
    here.page.get_by_label("Shape").select_option(shape)
    width, height = map(int, shape.split(":"))
    assert aspect(here) == pytest.approx(width / height, rel=0.02)
    found = sent(here)
    assert found["size"] == shape
    assert "placement" not in found


def test_keys_move_and_scale(here: Visit) -> None:
    # A square of 100 in the middle of a photo 400 wide and 200 high: a quarter of a square frame's width and height.
    here.choose(box(400, 200, 150, 50, 250, 150))
    open_choices(here)
    here.page.get_by_label("Shape").select_option("1:1")
    stage, spoken = here.page.locator("#stage"), here.page.locator("#spoken")
    stage.focus()
    stage.press("Shift+ArrowRight")
    stage.press("ArrowUp")
    expect(spoken).to_contain_text("60 % across, 48 % down, fills 25 % of the frame")
    assert place(sent(here)) == pytest.approx((0.25, 0.6, 0.48), abs=0.006)
    stage.focus()
    stage.press("+")
    stage.press("+")
    assert place(sent(here))[0] == pytest.approx(0.25 * 1.06**2, abs=0.006)
    stage.focus()
    for _ in range(60):
        stage.press("-")
    assert place(sent(here))[0] == 0.05
    stage.focus()
    for _ in range(60):
        stage.press("+")
        stage.press("Shift+ArrowLeft")
    share, x, _ = place(sent(here))
    assert share == 0.95
    assert x == pytest.approx(0.475, abs=0.001)  # the box ends where the frame does
    here.page.get_by_role("button", name="As in the photo").click()
    expect(spoken).to_contain_text("stands as in the photo")
    assert "placement" not in sent(here)
    here.check_clean(allowed="400")


def test_the_view_shows_what_is_sent(here: Visit) -> None:
    # 60 by 120 in a photo of 200 by 200, its middle at (50, 80): in a frame of 16:9, height 120 / 200 = 0.6.
    here.choose(box(200, 200, 20, 20, 80, 140))
    open_choices(here)
    here.page.get_by_label("Shape").select_option("16:9")
    here.page.get_by_role("slider", name="Size", exact=True).fill("80")
    share, x, y = place(sent(here))
    assert (share, y) == pytest.approx((0.8, 0.4), abs=0.01)  # as high as 0.8, so that its middle may stay at 0.4
    assert x == pytest.approx(0.5 + (50 - 100) / 200 * 9 / 16, abs=0.01)
    shown = here.page.evaluate(
        """() => { const stage = document.querySelector("#stage"); const { width, height } = stage;
        const { data } = stage.getContext("2d").getImageData(0, 0, width, height);
        return [width, height, [...data].filter((_, i) => i % 4 === 3)]; }"""
    )
    alpha = np.array(shown[2]).reshape(shown[1], shown[0]) > 128
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    assert (rows[-1] - rows[0] + 1) / shown[1] == pytest.approx(0.8, abs=0.02)
    assert (columns[-1] - columns[0] + 1) / shown[0] == pytest.approx(0.4 * 9 / 16, abs=0.02)
    assert (columns[0] + columns[-1] + 1) / 2 / shown[0] == pytest.approx(x, abs=0.01)


def test_a_pointer_drags(here: Visit) -> None:
    here.choose(box(200, 200, 50, 50, 150, 150))
    open_choices(here)
    stage = here.page.locator("#stage")
    stage.scroll_into_view_if_needed()
    area = stage.bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    here.page.mouse.move(x, y)
    here.page.mouse.down()
    here.page.mouse.move(x - 0.2 * area["width"], y + 0.1 * area["height"], steps=4)
    here.page.mouse.up()
    assert place(sent(here)) == pytest.approx((0.5, 0.3, 0.6), abs=0.01)
    here.choose(box(200, 200, 50, 50, 150, 150))
    assert "placement" not in sent(here)  # another photo stands as it does there
    here.check_clean(allowed="400")


def test_on_a_phone_it_fits(browser: Browser, service: RunningService) -> None:
    with visit(browser, service, **PHONE) as here:
        here.choose(box(200, 200, 50, 50, 150, 150))
        open_choices(here)
        here.page.get_by_label("Shape").select_option("16:9")
        expect(here.page.locator("#stage")).to_be_visible()
        assert here.fits()


def test_a_marketplace_sets_the_shape(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(box(200, 200, 50, 50, 150, 150))
        open_choices(here)
        here.page.get_by_label("Shape").select_option("16:9")
        market = here.page.get_by_label("For the marketplace")
        assert market.locator("option").all_inner_texts() == ["None", *MARKETPLACES]
        market.select_option("etsy")
        expect(here.page.get_by_label("Shape")).to_be_disabled()
        found = sent(here)
        assert found["marketplace"] == "etsy"
        assert not {"size", "output_format", "output_compression"} & found.keys()
        assert aspect(here) == pytest.approx(2700 / 2025, rel=0.02)
        stage = here.page.locator("#stage")
        stage.focus()
        for _ in range(40):
            stage.press("+")
            stage.press("Shift+ArrowLeft")
        assert place(sent(here)) == pytest.approx((0.8, 0.1 + 0.8 * 3 / 8, 0.5), abs=0.01)  # no nearer than the margin
        market.select_option("None")
        found = sent(here)
        assert found["size"] == "16:9"
        assert "marketplace" not in found
        here.check_clean(allowed="400")
