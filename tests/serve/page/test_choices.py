"""Format, seed, category; the sample; all pictures in one zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import c2pa
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.support.page_browser import COFFEE, NAME, Visit, visit
from tests.support.page_server import MODEL, RunningService, open_service


@pytest.fixture(scope="module")
def by_category(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with open_service(tmp_path_factory.mktemp("jobs"), by_category=True) as service:
        yield service


def open_choices(here: Visit) -> None:
    here.page.get_by_text("Shape, place, format, seed").click()


def downloaded(here: Visit, name: str) -> tuple[str, bytes]:
    with here.page.expect_download() as download:
        here.page.get_by_text(name, exact=True).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


@pytest.mark.parametrize("kind, suffix", [("PNG, exact", "png"), ("WebP, exact", "webp"), ("JPEG, small", "jpg")])
def test_a_format(browser: Browser, service: RunningService, kind: str, suffix: str) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        open_choices(here)
        here.page.get_by_label("Format").select_option(kind)
        here.submit()
        here.see_results()
        name, content = downloaded(here, "Download this picture")
        best = service.sampler.requests[3]
        assert name == f"espresso-cup-red-stoneware-{best.seed}.{suffix}"
        with Image.open(io.BytesIO(content)) as found:
            assert found.format == kind.split(",")[0].upper()
            same = np.array_equal(np.asarray(found.convert("RGB")), service.sampler.picture(best))
        assert same == (suffix != "jpg")
        reader = c2pa.Reader(f"image/{kind.split(',')[0].lower()}", io.BytesIO(content))
        assert reader.get_validation_state() == "Valid"  # nothing was lost on the way through the browser
        [actions] = [one["data"]["actions"] for one in (reader.get_active_manifest() or {})["assertions"]]
        assert actions[0]["parameters"] == {"p2i_ray.model": MODEL, "p2i_ray.seed": best.seed}
        said = "JPEG alters your product's pixels a little" if suffix == "jpg" else "Your product is unchanged."
        expect(here.page.locator(".pick .line").first).to_contain_text(said)
        here.check_clean()


def test_a_seed_gives_the_same_and_others_are_others(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        open_choices(here)
        seed = here.page.get_by_label("Seed, empty for new pictures each time")
        for wrong in ("-3", "1.5", "seven", str(2**53)):
            seed.fill(wrong)
            here.submit()
            expect(here.page.locator("#request-error")).to_contain_text("The seed is a whole number")
            expect(seed).to_be_focused()
            expect(seed).to_have_attribute("aria-invalid", "true")
        seed.fill("7")
        here.submit()
        here.see_results()
        assert here.texts()["seed"] == "7"
        first = [request.seed for request in service.sampler.requests]
        assert first[0] == 7
        here.page.get_by_role("button", name="Paint four others").click()
        expect(here.page.locator("#painting .busy")).to_be_hidden()
        here.see_results()
        assert "seed" not in here.texts()
        assert not set(first) & {request.seed for request in service.sampler.requests[4:]}
        here.check_clean()


def test_all_in_one_zip(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        here.submit("Tasse, weiß")
        here.see_results()
        name, content = downloaded(here, "Download all")
        assert name == "tasse-weiß.zip"
        with zipfile.ZipFile(io.BytesIO(content)) as found:
            assert found.testzip() is None
            assert len(found.infolist()) == 4
            for request in service.sampler.requests:
                with Image.open(found.open(f"tasse-weiß-{request.seed}.png")) as picture:
                    np.testing.assert_array_equal(np.asarray(picture), service.sampler.picture(request))
            assert {entry.date_time[0] for entry in found.infolist()} != {1980}
        here.check_clean()


def test_a_sample_to_try(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.page.get_by_role("button", name="Try a sample").click()
        expect(here.page.locator("#spoken")).to_contain_text("own transparency")
        expect(here.page.locator("#name")).to_have_value(NAME)
        here.page.get_by_role("button", name="Paint four pictures").click()
        here.see_results()
        assert here.uploaded("mask").size == (480, 400)
        here.check_clean()


def test_a_category(browser: Browser, service: RunningService, by_category: RunningService) -> None:
    with visit(browser, service) as here:
        open_choices(here)
        expect(here.page.get_by_label("Category, if not the name's")).to_be_hidden()
    with visit(browser, by_category) as here:
        here.choose(COFFEE)
        open_choices(here)
        offered = here.page.locator("#categories option").evaluate_all("found => found.map((one) => one.value)")
        assert offered == ["mug", "sofa & co"]
        here.page.get_by_label("Category, if not the name's").fill("mug")
        here.submit()
        here.see_results()
        assert here.texts()["category"] == "mug"
        expect(here.page.locator(".stand-in").first).to_be_hidden()
        here.page.get_by_label("Category, if not the name's").fill("couch")
        here.submit()
        here.see_results()
        said = "Painted as “sofa & co”: the server hasn't learned this category."
        expect(here.page.locator(".stand-in").first).to_have_text(said)
        here.check_clean()


def test_going_back_to_the_page_leaves_no_choices_behind_that_nobody_sees(
    browser: Browser, service: RunningService
) -> None:
    """A browser fills in some of a form, in a closed part of it, and neither the name nor the marketplace."""
    with visit(browser, service) as here:
        page = here.page
        open_choices(here)
        page.get_by_label("Shape", exact=True).select_option("16:9")
        page.get_by_label("Format").select_option("jpeg")
        page.get_by_role("radio", name="Faultless").check()
        page.goto(f"{service.url}/favicon.svg")
        page.go_back()
        expect(page.locator("#accept-note")).to_contain_text("Each picture says")
        assert [page.locator(place).input_value() for place in ("#size", "#format")] == ["auto", "png"]
        assert page.get_by_role("radio", name="Any").is_checked()
        here.check_clean()
