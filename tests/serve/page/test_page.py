"""The page, used as people use it: mouse, keys, finger."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from p2i_ray.data.images import Pixels
from tests.support.page_browser import COFFEE, NAME, PHONE, visit
from tests.support.page_server import RunningService, cut, open_service


def on_canvas(x: float, y: float, painted: Pixels, width: int = 600, height: int = 400) -> tuple[int, int]:
    """Row and column, on what is painted (H, W), of a point of the photo, which is fitted into it."""
    rows, columns = painted.shape
    scale = min(rows / height, columns / width)
    left, top = (columns - width * scale) / 2, (rows - height * scale) / 2
    return int(top + y * height * scale), int(left + x * width * scale)


def picture(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_photo_becomes_four_images(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page = here.page
        assert page.title().startswith("Product2IMG")
        assert page.locator("html").get_attribute("lang") == "en"
        here.choose(COFFEE)
        expected = cut(np.asarray(Image.open(COFFEE).convert("RGB")))
        shown = here.alpha()
        assert np.abs(shown.astype(int) - expected).mean() < 4
        kept, gone = (0.5, 0.6), (0.05, 0.08)
        assert shown[240, 300] == 255
        assert shown[32, 30] == 0

        here.draw(kept, (0.55, 0.6))
        page.get_by_role("radio", name="Add").check()
        here.draw(gone, (0.12, 0.08))
        page.get_by_role("radio", name="Erase").check()
        mended = here.alpha()
        assert mended[240, 300] == 0
        assert mended[32, 30] == 255

        here.submit()
        here.see_results()
        assert len(service.sampler.requests) == 4
        for request in service.sampler.requests:
            assert request.name == NAME
            assert request.mask[on_canvas(*kept, request.mask)] == 0
            assert request.mask[on_canvas(*gone, request.mask)] == 255
        assert here.uploaded("mask").size == here.uploaded("image").size == (600, 400)
        assert here.uploaded("image").convert("RGBA").getchannel("A").getextrema() == (255, 255)  # the whole photo

        scores = page.locator(".pick .score").all_inner_texts()
        assert scores == ["4.5 of 5", "3.5 of 5", "2.5 of 5", "1.5 of 5"]
        assert "Table, fits" in page.locator(".pick").first.inner_text()

        best = service.sampler.requests[3]  # the critic likes the last one best
        with page.expect_download() as download:
            page.get_by_role("link", name="Download this picture").click()
        assert download.value.suggested_filename == f"espresso-cup-red-stoneware-{best.seed}.png"
        content = download.value.path().read_bytes()
        assert content.startswith(b"\x89PNG")
        np.testing.assert_array_equal(picture(content), service.sampler.picture(best))

        page.locator(".pick").nth(2).click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download this picture").click()
        np.testing.assert_array_equal(
            picture(download.value.path().read_bytes()), service.sampler.picture(service.sampler.requests[1])
        )
        here.check_clean()


def test_before_and_after_part_where_the_slider_is(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        slider, frame = here.page.get_by_label("Before and after"), here.page.locator("#compare")
        slider.focus()
        for _ in range(10):
            here.page.keyboard.press("ArrowRight")
        assert slider.input_value() == "60"
        assert slider.get_attribute("aria-valuetext") == "60 % before, 40 % after"
        clip = "(e) => getComputedStyle(e).clipPath"
        assert here.page.locator("#before").evaluate(clip) == "inset(0px 40% 0px 0px)"
        assert here.page.locator("#after").evaluate(clip) == "inset(0px 0px 0px 60%)"
        box = frame.bounding_box()
        assert box is not None
        height, width = service.sampler.requests[0].mask.shape
        assert abs(width / height - 600 / 400) < 0.03  # the photo's shape
        assert box["width"] == pytest.approx(box["height"] * width / height, abs=2)
        here.page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 30)
        assert slider.input_value() == "25"
        here.check_clean()


def test_keys_alone_are_enough(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page, keys = here.page, here.page.keyboard

        def tab_to(selector: str) -> None:
            for _ in range(25):
                keys.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    return
            raise AssertionError(f"Tab never reaches {selector}")

        tab_to("#file")
        with page.expect_file_chooser() as chooser:
            keys.press("Enter")
        chooser.value.set_files(COFFEE)
        spoken = page.locator("#spoken")
        expect(spoken).to_contain_text("The product is cut out", timeout=30_000)
        before = here.alpha()

        tab_to("#cutout")
        keys.press("ArrowDown")
        expect(spoken).to_contain_text("50 % across, 53 % down, on the product")
        keys.press("Space")
        expect(spoken).to_contain_text("Brush down, erasing")
        keys.press("Shift+ArrowRight")
        keys.press("Space")
        expect(spoken).to_contain_text("Brush lifted")
        after = here.alpha()
        assert after[212, 300] == after[212, 330] == 0
        assert before[212, 300] == 255
        keys.press("Control+z")
        np.testing.assert_array_equal(here.alpha(), before)

        tab_to("#name")
        keys.type(NAME)
        keys.press("Enter")
        here.see_results()
        assert page.evaluate("document.activeElement.id") == "results-title"
        tab_to("#split")
        keys.press("Home")
        assert page.get_by_label("Before and after").input_value() == "0"
        tab_to("input[name=pick]")
        keys.press("ArrowRight")
        assert page.locator(".pick input").nth(1).is_checked()
        tab_to("#download")
        with page.expect_download() as download:
            keys.press("Enter")
        assert str(service.sampler.requests[2].seed) in download.value.suggested_filename
        here.check_clean()


def test_a_phone_fits_and_a_finger_paints(browser: Browser, service: RunningService) -> None:
    with visit(browser, service, **PHONE) as here:
        assert here.fits()
        here.choose(COFFEE)
        assert here.fits()
        page = here.page
        page.touchscreen.tap(*here.place(0.5, 0.6))
        assert here.alpha()[240, 300] == 0
        page.get_by_role("button", name="Undo").tap()
        assert here.alpha()[240, 300] == 255
        here.submit("A name of one very long word: " + "m" * 80)
        here.see_results()
        assert here.fits()
        small = "(all) => all.filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40).map((e) => e.id)"
        assert page.locator("button, .button").evaluate_all(small) == []
        here.check_clean()


def test_a_service_without_a_judge_gives_no_scores(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_service(tmp_path_factory.mktemp("jobs"), judged=False) as plain, visit(browser, plain) as here:
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        assert here.page.locator(".score:visible").count() == 0
        assert len(plain.sampler.requests) == 4
        here.page.get_by_role("button", name="Paint four others").click()
        expect(here.page.locator("#painting .busy")).to_be_hidden()
        here.see_results()
        assert len(plain.sampler.requests) == 8
        assert len([path for path, _ in plain.bodies if path.endswith("/edits")]) == 2


def test_tall_pictures_are_seen_as_a_whole(browser: Browser, service: RunningService) -> None:
    alpha = np.zeros((480, 160), np.uint8)
    alpha[80:400, 40:120] = 255
    out = io.BytesIO()
    Image.fromarray(np.dstack([alpha, alpha, 0 * alpha, alpha]), "RGBA").save(out, "PNG")
    with visit(browser, service, viewport={"width": 768, "height": 800}) as here:  # one column
        here.page.set_input_files("#file", {"name": "lamp.png", "mimeType": "image/png", "buffer": out.getvalue()})
        here.submit()
        here.see_results()
        heights = here.page.locator(".pick img").evaluate_all("(all) => all.map((e) => e.clientHeight)")
        assert max(heights) <= 400
        here.check_clean()
