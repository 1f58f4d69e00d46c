"""The page for everyone: axe-core's rules in every state and colour scheme, names, live regions, landmarks, motion."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from p2i_ray.serve.edge.backpressure import Overloaded
from tests.support.page_browser import COFFEE, PHONE, Visit, visit
from tests.support.page_server import RunningService, changed, grown

PAGE = Path(__file__).parents[3] / "p2i_ray" / "serve" / "page"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def faults(here: Visit) -> list[str]:
    """What axe finds wrong with the page as it is now."""
    found = Axe().run(here.page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html'][:120]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_in_any_state(browser: Browser, service: RunningService, options: dict[str, object]) -> None:
    with visit(browser, service, token=False, **options) as here:
        page = here.page
        assert faults(here) == []
        page.set_input_files("#file", COFFEE)
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults(here) == []
        page.get_by_label("Token", exact=True).fill("a-token-for-tests")
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#spoken")).to_contain_text("The product is cut out", timeout=30_000)
        assert faults(here) == []
        service.sampler.refusals = [Overloaded(60)]
        here.submit()
        expect(page.locator("#painting").get_by_role("alert")).to_contain_text("60 s")
        assert faults(here) == []
        page.get_by_text("Shape, place, format, seed").click()
        service.sampler.spoils = [grown]
        here.submit()
        here.see_results()
        page.locator(".pick summary").first.click()
        assert faults(here) == []


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_in_the_lists(browser: Browser, service: RunningService, options: dict[str, object]) -> None:
    with visit(browser, service, **options) as here:
        page = here.page
        page.set_input_files("#file", [COFFEE, COFFEE])
        expect(page.get_by_role("heading", name="2 products")).to_be_visible()
        page.get_by_label("Name of product 1").fill("")
        page.get_by_role("button", name="Paint them all").click()
        expect(page.locator("#products-error")).to_be_visible()
        assert faults(here) == []
        page.get_by_label("Name of product 1").fill("Espresso cup")
        page.get_by_role("button", name="Paint them all").click()
        expect(page.locator("#products-task .what")).to_contain_text("0 of 2")
        assert faults(here) == []
        page.get_by_role("button", name="Put the list away").click()
        page.get_by_role("button", name="Try a sample").click()
        expect(page.locator("#spoken")).to_contain_text("The product covers", timeout=30_000)
        page.get_by_role("radio", name="Faultless").check()
        service.sampler.spoils = [changed] * 16
        here.submit()
        expect(page.locator("#painting").get_by_role("alert")).to_contain_text("None of 16")
        assert faults(here) == []
        service.sampler.spoils = [changed] * 14
        here.submit()
        here.see_results("two pictures", 2)
        page.get_by_text("Earlier pictures").click()
        expect(page.locator("#history-list img")).to_be_visible()
        assert faults(here) == []
        assert here.fits()


def test_what_a_screen_reader_meets(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        page = here.page
        assert page.locator("[aria-live], [role=status]").count() == 1
        for landmark in ("banner", "main", "contentinfo"):
            assert page.get_by_role(landmark).count() == 1  # type: ignore[arg-type]
        here.choose(COFFEE)
        here.submit()
        here.see_results()
        levels = page.locator("h1, h2").evaluate_all("(all) => all.filter((e) => e.offsetParent).map((e) => e.tagName)")
        assert levels == ["H1", "H2", "H2", "H2", "H2"]
        expect(page.get_by_role("application", name="The cutout, to be mended with the brush")).to_be_visible()
        expect(page.get_by_role("group", name="Brush", exact=True)).to_be_visible()
        expect(page.get_by_role("slider", name="Brush size")).to_be_visible()
        expect(page.get_by_role("slider", name="Before and after")).to_have_attribute(
            "aria-valuetext", "50 % before, 50 % after"
        )
        best = page.get_by_role("radio").filter(has=page.locator("xpath=self::*[@name='pick']")).first
        expect(best).to_have_accessible_name(
            "Picture 1 of Espresso cup, red stoneware table, fits 4.5 of 5 Your product is unchanged."
        )
        expect(page.get_by_role("img", name="Your photo of Espresso cup, red stoneware")).to_be_visible()
        expect(page.locator("#spoken")).to_contain_text("Done: Espresso cup, red stoneware: four pictures")


def test_phones_get_a_camera_and_desktops_do_not(browser: Browser, service: RunningService) -> None:
    with visit(browser, service, **PHONE) as here:
        expect(here.page.get_by_text("Take a photo")).to_be_visible()
        assert here.page.locator("#camera").get_attribute("capture") == "environment"
    with visit(browser, service) as here:
        expect(here.page.get_by_text("Take a photo")).to_be_hidden()


def test_reduced_motion_is_respected(browser: Browser, service: RunningService) -> None:
    moving = "(all) => all.filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    with visit(browser, service) as here:  # asks for reduced motion
        assert here.page.locator("*").evaluate_all(moving) == 0
    with visit(browser, service, reduced_motion="no-preference") as here:
        assert here.page.locator("*").evaluate_all(moving) > 0


def test_files_follow_the_policy_and_the_conventions() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    assert "style=" not in html
    assert html.count("<script") == html.count('<script type="module" src=') == 1
    for path in filter(Path.is_file, PAGE.iterdir()):
        if path.suffix == ".webp":
            assert path.stat().st_size < 20_000
            continue
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 250, path.name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
        assert "https://" not in text, path.name
        assert "innerHTML" not in text, path.name
