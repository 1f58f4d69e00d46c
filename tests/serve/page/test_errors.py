"""The page when something is refused, slow, odd or missing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from p2i_ray.serve.edge.backpressure import NotReady, Overloaded
from tests.support.page_browser import COFFEE, NAME, visit
from tests.support.page_server import TOKEN, RunningService

STATUS = "Failed to load resource"  # the browser's own note of an answer that isn't 200


def file(image: Image.Image, kind: str = "png", **options: Any) -> dict[str, Any]:
    """A picture as a file that is chosen."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return {"name": f"a.{kind}", "mimeType": f"image/{kind}", "buffer": out.getvalue()}


def disc(width: int, height: int) -> Image.Image:
    """A red disc with a soft edge on transparent ground."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(x - width / 2, y - height / 2) / (min(width, height) / 4)
    alpha = ((1.05 - inside) * 10).clip(0, 1) * 255
    return Image.fromarray(
        np.dstack([np.full_like(alpha, v) for v in (200, 30, 30)] + [alpha]).astype(np.uint8), "RGBA"
    )


def test_a_token_is_asked_for_once_and_kept_out_of_the_address(browser: Browser, service: RunningService) -> None:
    with visit(browser, service, token=False) as here:
        page = here.page
        page.set_input_files("#file", COFFEE)
        dialog = page.get_by_role("dialog", name="The server asks for a token")
        expect(dialog).to_be_visible()
        field = page.get_by_label("Token", exact=True)
        expect(field).to_be_focused()
        field.fill("not the token")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("no spaces")
        field.fill("not-the-token")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text("The server didn't accept that token.")
        field.fill(TOKEN)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#spoken")).to_contain_text("The product is cut out", timeout=30_000)
        assert not dialog.is_visible()

        page.reload()  # the tab remembers
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        here.check_clean(allowed=STATUS)


def test_without_a_token_the_servers_error_is_shown(browser: Browser, service: RunningService) -> None:
    with visit(browser, service, token=False) as here:
        here.page.set_input_files("#file", COFFEE)
        here.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(here.page.get_by_role("alert")).to_have_text("Send a token as Authorization: Bearer TOKEN.")
        here.page.get_by_role("button", name="Try again").click()
        expect(here.page.get_by_role("dialog")).to_be_visible()
        here.page.keyboard.press("Escape")
        expect(here.page.get_by_role("dialog")).to_be_hidden()
        here.check_clean(allowed=STATUS)


def test_a_photo_that_cannot_be_cut_is_cut_by_hand(browser: Browser, service: RunningService) -> None:
    """What the server advises, a cutout or a mask, is nothing that a person at the page has."""
    with visit(browser, service) as here:
        page = here.page
        page.set_input_files("#file", file(Image.new("RGB", (200, 150), "grey")))
        expect(page.locator("#cutting").get_by_role("alert")).to_have_text(
            "No product was found in this photo. Erase the background with the brush, or take a photo before a calm "
            "background."
        )
        here.submit()
        expect(page.locator("#request-error")).to_contain_text("covers the whole picture")
        page.get_by_role("button", name="Erase all").click()
        here.submit()
        expect(page.locator("#request-error")).to_contain_text("The cutout is empty")
        page.get_by_role("radio", name="Add").check()
        here.draw((0.4, 0.5), (0.6, 0.5))
        here.submit("")
        expect(page.locator("#request-error")).to_have_text("Type the product's name first.")
        here.submit()
        here.see_results()
        here.check_clean(allowed=STATUS)


def test_no_photo_and_no_image(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.submit()
        expect(here.page.locator("#request-error")).to_have_text("Add a photo first.")
        text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"}
        here.page.set_input_files("#file", text)
        expect(here.page.locator("#cutting").get_by_role("alert")).to_contain_text("can't be opened as a picture")
        here.check_clean()


def test_a_line_goes_when_what_it_asks_for_is_there(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page, line = here.page, here.page.locator("#request-error")
        here.submit("")
        expect(line).to_have_text("Add a photo first.")
        here.choose(COFFEE)
        expect(line).to_be_hidden()
        here.submit("")
        expect(line).to_have_text("Type the product's name first.")
        page.get_by_role("button", name="Erase all").click()  # the name is missing all the same
        expect(line).to_have_text("Type the product's name first.")
        page.get_by_label("Name, as a shop would list it").press_sequentially("C")
        expect(line).to_be_hidden()
        here.submit()
        expect(line).to_contain_text("The cutout is empty")
        page.get_by_role("button", name="Undo").click()
        expect(line).to_be_hidden()
        page.locator("#choices summary").click()
        page.get_by_label("Seed").fill("x")
        here.submit()
        expect(line).to_contain_text("The seed is a whole number")
        page.get_by_label("Seed").fill("7")
        expect(line).to_be_hidden()
        assert page.get_by_label("Seed").get_attribute("aria-invalid") == "false"
        here.check_clean()


def test_what_is_tried_again_has_the_name_that_is_there_now(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        service.sampler.refusals.append(RuntimeError("a test's"))
        here.submit("Tea cup")
        expect(here.page.get_by_role("button", name="Try again")).to_be_visible()
        here.page.get_by_label("Name, as a shop would list it").fill("Mug")
        here.page.get_by_role("button", name="Try again").click()
        here.see_results("Mug: four pictures")
        assert {request.name for request in service.sampler.requests[-4:]} == {"Mug"}
        here.check_clean(allowed=STATUS)


@pytest.mark.parametrize("refusal, wait", [(Overloaded(2), 2), (NotReady(), 5)], ids=["429", "503"])
def test_a_busy_server_says_when_to_come_again(
    browser: Browser, service: RunningService, refusal: Exception, wait: int
) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        service.sampler.refusals = [refusal]
        here.submit()
        alert, retry = here.page.locator("#painting").get_by_role("alert"), here.page.locator("#painting .retry")
        expect(alert).to_contain_text(f"{wait} s.")
        assert alert.inner_text().count(f"{wait} s") == 1
        expect(retry).to_contain_text("Try again (in ")
        if wait == 2:
            expect(retry).to_have_text("Try again")
        retry.click()
        here.see_results()
        expect(alert).to_be_hidden()
        here.check_clean(allowed=STATUS)


def test_cancel_stops_the_work_on_the_server_too(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page = here.page
        here.choose(COFFEE)
        service.close_gate()
        cancelled = service.sampler.cancelled
        here.submit()
        expect(page.get_by_text(f"Painting four pictures of {NAME}…").first).to_be_visible()
        expect(page.locator("#paint")).to_have_attribute("aria-disabled", "true")
        service.wait_until(lambda: len(service.sampler.requests) == 4)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        expect(page.locator("#spoken")).to_have_text("Cancelled")
        assert page.locator("#painting .failed").is_hidden()
        service.wait_until(lambda: service.sampler.cancelled == cancelled + 4)
        service.open_gate()
        here.submit()
        here.see_results()
        here.check_clean()


def test_another_photo_ends_the_painting_and_is_what_is_told(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        service.close_gate()
        here.submit()
        service.wait_until(lambda: len(service.sampler.requests) == 4)
        here.page.set_input_files("#file", file(disc(120, 120)))
        expect(here.page.locator("#painting .busy")).to_be_hidden()
        service.open_gate()
        here.page.wait_for_timeout(300)
        assert "own transparency is the cutout" in here.page.locator("#spoken").inner_text()
        assert here.page.locator("#results").is_hidden()
        here.check_clean()


def test_a_line_that_is_cut(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        here.page.context.set_offline(True)
        here.submit()
        expect(here.page.locator("#painting").get_by_role("alert")).to_contain_text("The server can't be reached.")
        here.page.context.set_offline(False)
        here.page.locator("#painting .retry").click()
        here.see_results()
        here.check_clean(allowed=STATUS)


def test_the_images_own_transparency_is_used(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page, cutout = here.page, disc(300, 200)
        here.choose(file(cutout))
        expect(page.locator("#spoken")).to_contain_text("own transparency")
        alpha = np.asarray(cutout.getchannel("A"))
        np.testing.assert_array_equal(here.alpha(), alpha)
        assert service.bodies == []  # nothing had to be asked
        page.get_by_role("button", name="Keep all").click()
        assert (here.alpha() == 255).all()
        page.get_by_role("button", name="Use the picture's own transparency").click()
        np.testing.assert_array_equal(here.alpha(), alpha)
        page.get_by_role("button", name="Undo").click()
        assert (here.alpha() == 255).all()
        page.get_by_role("button", name="Undo").click()
        assert page.get_by_role("button", name="Undo").is_disabled()
        here.submit()
        here.see_results()
        np.testing.assert_array_equal(np.asarray(here.uploaded("mask").getchannel("A")), alpha)
        sent = np.asarray(here.uploaded("image").convert("RGB"))
        edge = (alpha > 60) & (alpha < 255)
        assert np.abs(sent[edge].astype(int) - (200, 30, 30)).max() <= 3  # no fringe of white or black
        here.check_clean()


def test_a_large_photo_is_scaled_and_upright_before_it_leaves(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        large = Image.new("RGB", (3000, 1500), "white")
        large.paste((200, 20, 20), (900, 400, 1700, 1100))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        exif[0x010F] = "maker"
        here.choose(file(large, "jpeg", exif=exif.tobytes()))
        sent = here.uploaded("image")
        assert (sent.format, sent.size) == ("JPEG", (1024, 2048))
        assert len(sent.getexif()) == 0  # where and with what it was taken is nobody's business
        assert here.alpha().shape == (2048, 1024)
        here.check_clean()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(browser: Browser, service: RunningService, way: str) -> None:
    with visit(browser, service) as here:
        given = list(file(disc(120, 120))["buffer"])
        here.page.evaluate(
            """([bytes, way]) => { const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
            const event = way === "drop" ? new DragEvent("drop", options) : new ClipboardEvent("paste", options);
            document.querySelector("#name").dispatchEvent(event); }""",
            [given, way],
        )
        expect(here.page.locator("#spoken")).to_contain_text("own transparency")
        here.check_clean()


@pytest.mark.parametrize("field", ["#name", "#seed"])
def test_a_cell_of_a_spreadsheet_is_pasted_as_its_text(browser: Browser, service: RunningService, field: str) -> None:
    """Spreadsheets copy a cell as text and as a picture of it, which is no photo."""
    with visit(browser, service) as here:
        here.choose(COFFEE)
        here.page.locator("#choices summary").click()
        here.page.evaluate(
            """([bytes, field]) => { const transfer = new DataTransfer();
            transfer.setData("text/plain", "7");
            transfer.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true, clipboardData: transfer };
            const event = new ClipboardEvent("paste", options);
            window.untouched = document.querySelector(field).dispatchEvent(event); }""",
            [list(file(disc(120, 120))["buffer"]), field],
        )
        here.page.wait_for_timeout(500)
        assert here.page.evaluate("untouched") and here.alpha().shape == (400, 600)
        assert "own transparency" not in here.page.locator("#spoken").inner_text()
        here.check_clean()
