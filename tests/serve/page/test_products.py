"""Several products at once: one batch job, its progress and its zip."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.support.page_browser import PHONE, Visit, visit
from tests.support.page_server import TOKEN, RunningService, open_service

DROP = """([files, place]) => { const transfer = new DataTransfer();
for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
document.querySelector(place).dispatchEvent(new DragEvent("drop", options)); }"""


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with open_service(tmp_path_factory.mktemp("jobs"), jobs=True) as service:
        yield service


def cutout(colour: tuple[int, int, int]) -> bytes:
    """A disc on transparent ground."""
    y, x = np.mgrid[:120, :160]
    alpha = np.where(np.hypot(x - 80, y - 60) < 35, 255, 0)
    out = io.BytesIO()
    Image.fromarray(np.dstack([np.full_like(alpha, v) for v in colour] + [alpha]).astype(np.uint8), "RGBA").save(
        out, "PNG"
    )
    return out.getvalue()


def file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def leave_unanswered(route: Route) -> None:
    """Have the service take a request, and the page never hear of it."""
    route.fetch()


RED, YELLOW = cutout((200, 30, 30)), cutout((220, 200, 40))
BLANK = io.BytesIO()
Image.new("RGB", (120, 80), "grey").save(BLANK, "PNG")


def choose(here: Visit, *files: tuple[str, bytes]) -> None:
    here.page.set_input_files("#file", [file(name, content) for name, content in files])
    expect(here.page.get_by_role("heading", name=f"{len(files)} products")).to_be_visible()


def test_a_list_becomes_one_zip(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        page = here.page
        page.evaluate(DROP, [[["red-mug.png", list(RED)], ["yellow_vase.png", list(YELLOW)]], "body"])
        page.evaluate(DROP, [[["c.png", list(RED)]], "#products-list"])
        expect(page.get_by_role("heading", name="3 products")).to_be_focused()
        names = page.locator("#products-list input")
        assert names.evaluate_all("(all) => all.map((e) => e.value)") == ["red mug", "yellow vase", "c"]
        page.get_by_role("button", name="Remove product 1").click()
        page.evaluate(DROP, [[["red-mug.png", list(RED)]], "#products-list"])
        expect(page.get_by_role("heading", name="3 products")).to_be_focused()
        labels = [names.nth(place).get_attribute("aria-label") for place in range(3)]
        assert labels == [f"Name of product {number}" for number in (1, 2, 3)]
        page.get_by_role("button", name="Remove product 2").click()
        expect(page.get_by_role("heading", name="2 products")).to_be_visible()
        page.get_by_label("Name of product 1").fill("")
        page.get_by_role("button", name="Paint them all").click()
        expect(page.locator("#products-error")).to_have_text("Type the name of every product.")
        expect(page.get_by_label("Name of product 1")).to_be_focused()
        page.get_by_label("Name of product 1").fill("Yellow vase 20 cm")
        expect(page.locator("#products-error")).to_be_hidden()
        page.get_by_role("radio", name="Faultless").check()
        page.get_by_role("button", name="Paint them all").click()
        expect(page.locator("#products-outcome")).to_have_text("All 2 are painted.", timeout=60_000)
        sent = here.texts()
        assert json.loads(sent["items"]) == [
            {"image": "image0", "name": "Yellow vase 20 cm", "mask": "mask0"},
            {"image": "image1", "name": "red mug", "mask": "mask1"},
        ]
        assert {name: sent[name] for name in ("n", "best_of", "accept")} == {
            "n": "1", "best_of": "4", "accept": "faultless"
        }  # fmt: skip
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the zip").click()
        assert download.value.suggested_filename == "products.zip"
        with zipfile.ZipFile(download.value.path()) as found:
            results = json.loads(found.read("results.json"))
            assert [row["name"] for row in results] == ["Yellow vase 20 cm", "red mug"]
            for row in results:
                assert [picture["truth"]["faultless"] for picture in row["pictures"]] == [True]
                assert Image.open(found.open(row["pictures"][0]["file"])).size == (288, 216)  # the photo's shape
        assert here.uploaded("mask1").getchannel("A").getpixel((80, 60)) == 255
        here.check_clean()


def test_what_fails_is_told_and_the_rest_is_painted(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("blank.png", BLANK.getvalue()))
        here.page.set_input_files("#products-add", [file("text.png", b"no picture")])
        expect(here.page.locator("#products-error")).to_have_text(
            "Can't be opened as pictures: text.png. Use PNG, JPEG or WebP."
        )
        here.page.get_by_role("button", name="Paint them all").click()
        expect(here.page.locator("#products-outcome")).to_have_text(
            "1 painted, 1 not: results.csv in the zip says why.", timeout=60_000
        )
        here.page.get_by_role("button", name="Put the list away").click()
        expect(here.page.locator("#products")).to_be_hidden()
        here.check_clean()


def test_cancel_stops_the_job(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        working.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        expect(here.page.locator("#products-task .what")).to_have_text("Painting the products: 0 of 2…")
        assert here.page.locator("#products-task progress").get_attribute("max") == "2"
        working.wait_until(lambda: len(working.sampler.requests) == 4)
        with here.page.expect_response(lambda answer: answer.url.endswith("/cancel")) as stopped:
            here.page.get_by_role("button", name="Cancel").click()
        assert stopped.value.status == 200
        expect(here.page.locator("#spoken")).to_have_text("Cancelled")
        working.open_gate()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        state = here.page.request.get(stopped.value.url.removesuffix("/cancel"), headers=headers).json()
        assert (state["status"], state["done"]) == ("cancelled", 0)
        here.check_clean()


def test_a_job_that_another_front_cancels_gives_what_is_painted(browser: Browser, tmp_path: Path) -> None:
    """It is cancelled at once, and its result is there when what is being painted is."""
    with open_service(tmp_path, jobs=True) as painting, visit(browser, painting) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        painting.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        painting.wait_until(lambda: len(painting.sampler.requests) == 4)
        job = here.page.wait_for_function("sessionStorage.getItem('p2i-job')").json_value()
        with open_service(tmp_path) as other, here.page.expect_response("**/result") as asked:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            here.page.request.post(f"{other.url}/v1/jobs/{job}/cancel", headers=headers)
        assert asked.value.status == 409
        painting.open_gate()
        outcome = here.page.locator("#products-outcome")
        expect(outcome).to_have_text("1 painted, 1 not: results.csv in the zip says why.", timeout=60_000)
        expect(here.page.locator("#products-task").get_by_role("alert")).to_be_hidden()
        here.check_clean(allowed="Failed to load resource")


def test_a_line_that_is_cut_ends_no_job(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        working.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        working.wait_until(lambda: len(working.sampler.requests) == 4)
        here.page.context.set_offline(True)
        expect(here.page.locator("#products-task").get_by_role("alert")).to_contain_text("The server can't be reached.")
        here.page.context.set_offline(False)
        working.open_gate()
        here.page.locator("#products-task .retry").click()
        expect(here.page.locator("#products-outcome")).to_have_text("All 2 are painted.", timeout=60_000)
        assert [path for path, _ in working.bodies if path == "/v1/jobs"] == ["/v1/jobs"]  # submitted once
        here.check_clean(allowed="Failed to load resource")


def test_what_is_painted_when_the_line_is_cut_is_neither_painted_twice_nor_left_behind(
    browser: Browser, working: RunningService
) -> None:
    with visit(browser, working) as here:
        before = len(jobs_of(here, working))
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        paint, what = here.page.get_by_role("button", name="Paint them all"), here.page.locator("#products-task .what")
        alert = here.page.locator("#products-task").get_by_role("alert")

        def cut_the_line() -> None:
            expect(what).to_have_text("Painting the products: 0 of 2…")
            here.page.context.set_offline(True)
            expect(alert).to_contain_text("The server can't be reached.")
            here.page.context.set_offline(False)

        working.close_gate()
        paint.click()
        cut_the_line()
        paint.click()  # the same order: it goes on
        cut_the_line()
        assert len(jobs_of(here, working)) == before + 1
        here.page.get_by_label("Name of product 1").fill("Red mug")
        with here.page.expect_response("**/cancel"):
            paint.click()  # another one takes its place
        cut_the_line()
        with here.page.expect_response("**/cancel"):
            here.page.get_by_role("button", name="Put the list away").click()
        assert jobs_of(here, working)[: -before or None] == ["cancelled", "cancelled"]
        assert here.page.evaluate("sessionStorage.getItem('p2i-job')") is None
        here.check_clean(allowed="Failed to load resource")


def jobs_of(here: Visit, service: RunningService) -> list[str]:
    """The states of all jobs, the newest first."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    listed = here.page.request.get(f"{service.url}/v1/jobs", headers=headers).json()["data"]
    return [job["status"] for job in listed]


def test_an_order_whose_answer_is_lost_is_sent_again_as_the_same(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        before = len(jobs_of(here, working))
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        lost: list[int] = []

        def lose(route: Route) -> None:
            lost.append(route.fetch().status)
            route.abort()

        here.page.route("**/v1/jobs", lose, times=1)
        working.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        alert = here.page.locator("#products-task").get_by_role("alert")
        expect(alert).to_contain_text("The server can't be reached.")
        here.page.locator("#products-task .retry").click()
        expect(here.page.locator("#products-task .what")).to_have_text("Painting the products: 0 of 2…")
        assert lost == [202] and len(jobs_of(here, working)) == before + 1
        working.open_gate()
        expect(here.page.locator("#products-outcome")).to_have_text("All 2 are painted.", timeout=60_000)

        # Another order in its place cancels it: only the new one is painted.
        here.page.route("**/v1/jobs", lose, times=1)
        working.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        expect(alert).to_contain_text("The server can't be reached.")
        here.page.get_by_label("Name of product 1").fill("Red mug")
        with here.page.expect_response("**/v1/jobs/cancel") as stopped:
            here.page.get_by_role("button", name="Paint them all").click()
        assert stopped.value.status == 200
        working.open_gate()
        expect(here.page.get_by_role("link", name="Download the zip")).to_be_focused(timeout=60_000)
        assert sorted(jobs_of(here, working)[: -before or None]) == ["cancelled", "completed", "completed"]
        here.check_clean(allowed="Failed to load resource")


def test_cancel_holds_before_the_order_is_answered(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        working.close_gate()
        here.page.route("**/v1/jobs", leave_unanswered, times=1)
        with here.page.expect_request("**/v1/jobs"):
            here.page.get_by_role("button", name="Paint them all").click()
        working.wait_until(lambda: jobs_of(here, working)[0] in ("queued", "running"))
        with here.page.expect_response("**/v1/jobs/cancel") as stopped:
            here.page.get_by_role("button", name="Cancel").click()
        assert stopped.value.status == 200
        expect(here.page.locator("#spoken")).to_have_text("Cancelled")
        assert jobs_of(here, working)[0] == "cancelled"
        here.check_clean()


def test_a_job_goes_on_when_the_page_is_left(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        working.close_gate()
        here.page.get_by_role("button", name="Paint them all").click()
        working.wait_until(lambda: len(working.sampler.requests) == 4)
        here.page.reload()
        expect(here.page.locator("#products-task .what")).to_have_text("Painting the products: 0 of 2…")
        working.open_gate()
        expect(here.page.locator("#products-outcome")).to_have_text("All 2 are painted.", timeout=60_000)
        here.page.evaluate("sessionStorage.setItem('p2i-job', 'job_' + '0'.repeat(32))")
        here.page.reload()
        expect(here.page.locator("#products-task").get_by_role("alert")).to_contain_text(
            "There is no such job of yours"
        )
        here.page.locator("#products-task .retry").click()
        expect(here.page.locator("#products-task").get_by_role("alert")).to_contain_text("Add the photos again.")
        here.check_clean(allowed="404")


@pytest.mark.parametrize("way", ["Download the zip", "Put the list away"])
def test_a_zip_is_offered_until_it_is_taken_or_put_away(browser: Browser, working: RunningService, way: str) -> None:
    with visit(browser, working) as here:
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        here.page.get_by_role("button", name="Paint them all").click()
        outcome = here.page.locator("#products-outcome")
        expect(outcome).to_have_text("All 2 are painted.", timeout=60_000)
        here.page.reload()
        expect(outcome).to_have_text("All 2 are painted.", timeout=60_000)
        here.page.get_by_text(way).click()
        here.page.reload()
        expect(here.page.locator("#drop")).to_be_visible()
        expect(here.page.locator("#products")).to_be_hidden()
        assert [path for path, _ in working.bodies if path.startswith("/v1/jobs")] == ["/v1/jobs"]
        here.check_clean()


def test_an_order_that_is_not_answered_when_the_page_is_left_goes_on(browser: Browser, working: RunningService) -> None:
    with visit(browser, working) as here:
        before = len(jobs_of(here, working))
        choose(here, ("red.png", RED), ("yellow.png", YELLOW))
        working.close_gate()
        here.page.route("**/v1/jobs", leave_unanswered, times=1)
        with here.page.expect_request("**/v1/jobs"):
            here.page.get_by_role("button", name="Paint them all").click()
        working.wait_until(lambda: len(jobs_of(here, working)) > before)
        here.page.reload()
        expect(here.page.locator("#products-task .what")).to_have_text("Painting the products: 0 of 2…")
        assert here.page.evaluate("sessionStorage.getItem('p2i-order')") is None
        working.open_gate()
        expect(here.page.locator("#products-outcome")).to_have_text("All 2 are painted.", timeout=60_000)
        assert len(jobs_of(here, working)) == before + 1
        here.page.evaluate("sessionStorage.removeItem('p2i-job'); sessionStorage.setItem('p2i-order', 'never-arrived')")
        here.page.reload()
        alert = here.page.locator("#products-task").get_by_role("alert")
        expect(alert).to_contain_text("The job is not on the server. Add the photos again.")
        assert here.page.evaluate("sessionStorage.getItem('p2i-order')") is None
        here.check_clean(allowed="404")


def test_on_a_phone_it_fits(browser: Browser, working: RunningService) -> None:
    with visit(browser, working, **PHONE) as here:
        choose(here, ("a-name-of-one-very-long-word-" + "m" * 80 + ".png", RED), ("yellow.png", YELLOW))
        assert here.fits()
        field, row = (here.page.locator(place).first for place in ("#products-list input", "#products-list li"))
        widths = [place.evaluate("(e) => e.clientWidth") for place in (field, row)]
        assert widths[0] > 0.7 * widths[1]  # all that the picture leaves: a name is to be read
