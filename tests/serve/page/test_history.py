"""Earlier results: in this browser alone, at most twenty, and none where the browser keeps nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.support.page_browser import COFFEE, NAME, Visit, visit
from tests.support.page_server import RunningService

REFUSES = {
    "throws": "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };",
    "fails": """indexedDB.open = () => { const request = new EventTarget();
        setTimeout(() => request.dispatchEvent(new Event("error", { cancelable: true }))); return request; };""",
}
KEEP = """async (number) => { const { History } = await import("./history.js");
const history = new History({ show() {}, say() {} });
const pictures = [{ blob: new Blob(["a"]), format: "png", seed: 1, score: null, reason: null, truth: null }];
for (let i = 0; i < number; i += 1) await history.keep({ pictures, name: `Product ${i}`, photo: new Blob(["a"]) }); }"""


def open_history(here: Visit) -> None:
    here.page.locator("#history summary").click()


def test_an_earlier_result_is_shown_again(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page = here.page
        expect(page.locator("#history")).to_be_hidden()
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        expect(page.locator("#history")).to_be_visible()
        page.reload()
        open_history(here)
        page.get_by_role("button", name=NAME).click()
        here.see_results()
        assert page.locator(".pick .score").all_inner_texts() == ["4.5 of 5", "3.5 of 5", "2.5 of 5", "1.5 of 5"]
        assert page.locator(".pick .line").all_inner_texts() == ["Your product is unchanged."] * 4
        expect(page.get_by_role("button", name="Paint four others")).to_be_hidden()
        expect(page.get_by_role("img", name=f"Your photo of {NAME}")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download this picture").click()
        assert download.value.suggested_filename.endswith(f"-{service.sampler.requests[3].seed}.png")
        assert len(service.sampler.requests) == 4  # nothing was painted anew
        page.get_by_role("button", name="Delete them").click()
        expect(page.locator("#history")).to_be_hidden()
        page.reload()
        expect(page.locator("#history")).to_be_hidden()
        here.check_clean()


def test_the_last_twenty_are_kept(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.page.evaluate(KEEP, 22)
        here.page.reload()
        open_history(here)
        names = here.page.locator("#history-list b")
        expect(names).to_have_count(20)
        assert names.all_inner_texts() == [f"Product {number}" for number in range(21, 1, -1)]


@pytest.mark.parametrize("how", list(REFUSES))
def test_a_browser_that_keeps_nothing(browser: Browser, service: RunningService, how: str) -> None:
    with visit(browser, service) as here:
        here.page.add_init_script(REFUSES[how])
        here.page.reload()
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        expect(here.page.locator("#history")).to_be_hidden()
        here.check_clean()
