"""The raters' page as raters use it: keys, finger, a reload, a browser that keeps nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from p2i_ray.config import ImageConfig
from p2i_ray.config.study import StudyConfig
from p2i_ray.evaluate.study import evaluations, making, study, votes
from p2i_ray.evaluate.study.study import Study
from tests.support.evaluated import write_methods
from tests.support.page_browser import PHONE, RECORD_VIOLATIONS

COLOURS = {"ours": (200, 40, 40), "lama": (40, 200, 40)}
BLOCK_STORAGE = (
    """Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }})"""
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study of three products, and its folder."""
    folder = tmp_path_factory.mktemp("study")
    found = making.make(
        evaluations.find(write_methods(folder, COLOURS, products=3)),
        str(folder / "out"),
        settings=StudyConfig(title="Which <i>one</i>?"),
        image=ImageConfig(resolution=64),
        number=3,
        seed=0,
        asked={},
    )
    return found, folder / "out"


@contextmanager
def tab(browser: Browser, folder: Path, *, scripts: tuple[str, ...] = (), **options: Any) -> Iterator[Page]:
    """The page in a fresh browser; nothing may leave it, be blocked or fail."""
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    for script in (RECORD_VIOLATIONS, *scripts):
        context.add_init_script(script)
    try:
        yield open_page(context, folder)
    finally:
        context.close()


def open_page(context: BrowserContext, folder: Path) -> Page:
    page = context.new_page()
    page.errors = []  # type: ignore[attr-defined]
    page.on("console", lambda message: page.errors.append(message.text))  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    address = (folder / study.PAGE).as_uri()
    page.on("request", lambda request: note(page, request.url, address))
    page.goto(address)
    return page


def note(page: Page, url: str, own: str) -> None:
    if url != own and not url.startswith(("data:image/webp", "blob:")):
        page.errors.append(url)  # type: ignore[attr-defined]


def check_clean(page: Page) -> None:
    assert page.errors == []  # type: ignore[attr-defined]
    assert page.evaluate("violations") == []


def begin(page: Page, rater: str) -> None:
    page.get_by_label("Your name").fill(rater)
    page.keyboard.press("Enter")


def save(page: Page, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the votes as a file").click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def shown(page: Page, made: Study) -> str:
    """The question that the page shows, by its left picture."""
    data = json.loads(page.locator("#study").text_content() or "")
    source = page.locator("#left").get_attribute("src")
    return next(id_ for id_, one in made.questions.items() if data["pictures"][one.left] == source)


def test_by_keyboard_with_a_reload_in_between(browser: Browser, made: tuple[Study, Path], tmp_path: Path) -> None:
    found, folder = made
    with tab(browser, folder) as page:
        begin(page, "")
        expect(page.get_by_role("alert")).to_contain_text("Please write a name")
        begin(page, "\u200f\u200b")  # nor is what nobody sees a name
        expect(page.locator("#rater")).to_have_attribute("aria-invalid", "true")
        begin(page, "  Anna  \u200f B. ")
        expect(page.get_by_role("heading", name="Pair 1 of 3")).to_be_focused()
        first = shown(page, found)
        assert page.locator("#name").inner_text() == found.products[found.product(first)]
        page.keyboard.press("Enter")  # nothing is answered yet
        expect(page.get_by_role("heading", name="Pair 1 of 3")).to_be_visible()
        for key in ("1", "2", "ArrowRight"):
            page.keyboard.press(key)
        expect(page.get_by_role("button", name="Next")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Pair 2 of 3")).to_be_focused()
        second = shown(page, found)
        page.keyboard.press("3")

        page.reload()
        expect(page.get_by_text("Anna B. has answered 1 of 3 pairs")).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("heading", name="Pair 2 of 3")).to_be_focused()
        assert shown(page, found) == second  # a rater's order stays
        expect(page.locator("fieldset").first.get_by_role("button", name="Right")).to_have_attribute(
            "aria-pressed", "true"
        )
        for key in ("1", "1", "Enter", "2", "2", "2"):
            page.keyboard.press(key)
        third = shown(page, found)
        page.keyboard.press("Backspace")
        expect(page.get_by_role("heading", name="Pair 2 of 3")).to_be_focused()
        page.locator("fieldset").nth(2).get_by_role("button", name="No difference").click()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_role("heading", name="All answered")).to_be_focused()
        file = save(page, tmp_path)
        check_clean(page)
    assert file.name == f"votes-{found.id}-Anna-B-.json"
    [ballot], notes = votes.read(found, str(tmp_path))
    assert (ballot.rater, notes) == ("Anna B.", [])
    chosen = {first: ("left", "none", "right"), second: ("right", "left", "none"), third: ("none",) * 3}
    names = [one.name for one in found.criteria]
    assert ballot.votes == {
        (id_, name): one for id_, row in chosen.items() for name, one in zip(names, row, strict=True)
    }


def test_on_a_phone_that_keeps_nothing(browser: Browser, made: tuple[Study, Path], tmp_path: Path) -> None:
    found, folder = made
    with tab(browser, folder, scripts=(BLOCK_STORAGE,), **PHONE) as page:
        expect(page.get_by_text("This browser keeps nothing")).to_be_visible()
        page.get_by_label("Your name").fill("7")
        page.get_by_role("button", name="Start").tap()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for button in page.locator("#ask button").all():
            box = button.bounding_box()
            assert box is not None and min(box["width"], box["height"]) >= 44  # a fingertip
        page.get_by_role("button", name="Enlarge the right picture").tap()
        expect(page.get_by_role("img", name="Right picture, enlarged")).to_be_visible()
        page.get_by_role("button", name="Close").tap()
        for number in range(3):
            page.locator("fieldset").nth(number).get_by_role("button", name="Left").tap()
        page.get_by_role("button", name="Next").tap()
        page.get_by_role("button", name="Stop and save").tap()
        expect(page.get_by_role("heading", name="1 of 3 pairs answered")).to_be_focused()
        save(page, tmp_path)
        check_clean(page)
    [ballot], notes = votes.read(found, str(tmp_path))
    assert set(ballot.votes.values()) == {"left"} and notes == ["7 has answered 3 of 9 questions"]


def test_votes_can_be_copied(browser: Browser, made: tuple[Study, Path]) -> None:
    found, folder = made
    with tab(browser, folder, permissions=["clipboard-read", "clipboard-write"]) as page:
        begin(page, "Ben")
        page.keyboard.press("1")
        page.get_by_role("button", name="Stop and save").click()
        page.get_by_role("button", name="Copy them instead").click()
        expect(page.get_by_role("status")).to_contain_text("Copied")
        content = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert (content["study"], content["rater"], len(content["votes"])) == (found.id, "Ben", 1)
        assert page.locator("#votes").input_value() == json.dumps(content, indent=1)
        check_clean(page)


def test_raters_have_orders_of_their_own(browser: Browser, made: tuple[Study, Path]) -> None:
    found, folder = made
    with tab(browser, folder) as page:
        firsts = set()
        for rater in "abcdefghijkl":
            begin(page, rater)
            firsts.add(shown(page, found))
            page.reload()
    assert len(firsts) == 3


def test_readable_by_everyone(browser: Browser, made: tuple[Study, Path]) -> None:
    with tab(browser, made[1]) as page:
        for step in ("start", "ask", "end"):
            found = Axe().run(page)  # needs no policy: it is run by the browser's debugger
            assert found.violations_count == 0, (step, found.generate_report())
            if step == "start":
                begin(page, "Cleo")
            elif step == "ask":
                page.get_by_role("button", name="Stop and save").click()
