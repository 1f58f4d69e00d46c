"""What the page says of each picture, and which pictures it asks for."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.support.page_browser import COFFEE, NAME, Visit, visit
from tests.support.page_server import RunningService, changed, grown, open_service, unspoilt

UNCHANGED = "Your product is unchanged."


def verdicts(here: Visit) -> list[str]:
    return here.page.locator(".pick .line").all_inner_texts()


def accept(here: Visit, choice: str) -> None:
    here.page.get_by_role("radio", name=choice, exact=True).check()


def test_a_product_that_is_not_as_it_was_sent_never_comes_first(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        service.sampler.spoils = [unspoilt, grown, unspoilt, changed]  # the judge likes the last best
        here.submit()
        here.see_results()
        said = verdicts(here)
        assert said[:2] == [UNCHANGED, UNCHANGED]
        assert re.fullmatch(r"Your product is changed \(only \d+ % of its pixels are as you sent them\)\.", said[2])
        assert re.fullmatch(r"The background adds to the product \(\+\d\d+ %\)\.", said[3])
        assert here.page.locator(".pick .verdict").evaluate_all("(all) => all.map((e) => e.classList[1])") == [
            "good", "good", "bad", "bad"
        ]  # fmt: skip
        assert here.page.locator(".pick .score").all_inner_texts() == ["3.5 of 5", "1.5 of 5", "4.5 of 5", "2.5 of 5"]
        expect(here.page.locator("#picks-legend")).to_have_text(
            "First those with your product unchanged, the best first as the judge sees them. Choose one:"
        )
        assert here.page.locator(".pick input").first.is_checked()
        first = here.page.locator(".pick").first
        seed = service.sampler.requests[2].seed
        expect(first.locator("dl")).to_be_hidden()
        first.locator("summary").click()
        expect(first.locator("dl")).to_be_visible()
        figures = dict(zip(first.locator("dt").all_inner_texts(), first.locator("dd").all_inner_texts(), strict=True))
        assert figures["Unchanged pixels"] == "100.0 %"
        assert figures["Colour difference"] == "0.0, not visible"
        assert figures["Seed"] == str(seed)
        assert {"Growth", "Step at the outline"} < figures.keys()
        here.check_clean()


def test_only_faultless_ones(browser: Browser, service: RunningService) -> None:
    with visit(browser, service) as here:
        here.choose(COFFEE)
        accept(here, "Faultless")
        expect(here.page.locator("#spoken")).to_contain_text("Only pictures in which your product")
        expect(here.page.locator("#accept-note")).to_contain_text("painted anew")
        service.sampler.spoils = [grown, changed]
        here.submit()
        here.see_results()
        expect(here.page.locator("#tally")).to_have_text(
            re.compile(r"^6 painted, 2 refused: .*grown product \(\d\).*\.$")
        )
        expect(here.page.locator("#tally")).to_contain_text("changed product (")
        assert here.texts()["accept"] == "faultless"
        assert set(verdicts(here)) == {UNCHANGED}
        expect(here.page.locator("#spoken")).to_contain_text("6 painted, 2 refused")

        service.sampler.spoils = [*[changed] * 14, unspoilt, unspoilt]
        here.page.get_by_role("button", name="Paint four others").click()
        here.see_results("two pictures", 2)
        expect(here.page.locator("#tally")).to_have_text(
            "16 painted, 14 refused: changed product (14). No more are painted for one request."
        )

        here.page.get_by_text("Shape, place, format, seed").click()
        here.page.get_by_label("Seed, empty for new pictures each time").fill("5")
        service.sampler.spoils = [changed] * 16
        here.page.get_by_role("button", name="Paint four pictures").click()
        expect(here.page.locator("#painting").get_by_role("alert")).to_have_text(
            "None of 16 painted pictures is faultless: changed product (16). "
            "Try again, mend the cutout, or take any picture."
        )
        accept(here, "Any")
        here.page.locator("#painting .retry").click()
        here.see_results()
        expect(here.page.locator("#tally")).to_be_hidden()
        assert not {"accept", "seed"} & here.texts().keys()  # with the same seed none would be accepted again
        here.check_clean(allowed="422")


@pytest.mark.parametrize("judged", [True, False], ids=["judge", "no judge"])
def test_approval_needs_a_judge(browser: Browser, tmp_path_factory: pytest.TempPathFactory, judged: bool) -> None:
    with open_service(tmp_path_factory.mktemp("jobs"), judged=judged) as own, visit(browser, own) as here:
        here.choose(COFFEE)
        offered = here.page.locator("#accept label").all_inner_texts()
        assert offered == ["Any", "Faultless"] + ["Approved"] * judged
        if judged:
            accept(here, "Approved")
        here.submit()
        here.see_results()
        sent = here.texts()
        assert sent.get("accept") == ("approved" if judged else None)
        assert sent.get("best_of") == ("4" if judged else None)
        assert sent["prompt"] == NAME
        assert here.page.locator(".opinion:visible").count() == (4 if judged else 0)
        assert here.page.locator(".verdict:visible").count() == 4
        if judged:
            expect(here.page.locator("#tally")).to_have_text("4 painted, none refused.")
        here.check_clean()


def test_what_each_report_is_in_words(browser: Browser, service: RunningService) -> None:
    sent = {"faultless": False, "unchanged": 0.92, "colour": 2.34, "expansion": 0.144, "seam": 3.0}
    label = {"text_before": "Olio 500 ml", "text_after": ""}
    cases = [
        ({**sent, "faultless": True, "faults": []}, "png", [UNCHANGED, "good"]),
        ({**sent, "faults": ["changed product"]}, "png", [
            "Your product is changed (only 92 % of its pixels are as you sent them).", "bad"]),
        ({**sent, "faults": ["changed product"], "unchanged": 0.999}, "png", [
            "Your product is changed (its colours differ by 2.3).", "bad"]),
        ({**sent, "faultless": True, "faults": [], "file_unchanged": 0.4, "file_colour": 0.7}, "jpeg", [
            "JPEG alters your product's pixels a little, which nobody sees. PNG keeps them.", "plain"]),
        ({**sent, "faultless": True, "faults": [], "file_unchanged": 0.4, "file_colour": 2.14}, "jpeg", [
            "JPEG changes your product's colours (by 2.1). PNG keeps them.", "plain"]),
        ({**sent, "faultless": True, "faults": [], "file_unchanged": 1, "file_colour": 0}, "webp", [UNCHANGED, "good"]),
        ({**sent, "faults": ["grown product", "changed label"], **label}, "png", [
            "The background adds to the product (+14 %). The label reads differently (“Olio 500 ml” became nothing).",
            "bad"]),
        ({**sent, "faults": ["melted product"]}, "png", ["Fault: melted product.", "bad"]),
        (None, "png", ["", "plain"]),
    ]  # fmt: skip
    with visit(browser, service) as here:
        script = """async (cases) => { const { verdict } = await import("./verdict.js");
        const said = cases.map(([truth, format]) => verdict(truth, format));
        return said.map(({ text, tone }) => [text, tone]); }"""
        found = here.page.evaluate(script, [[truth, form] for truth, form, _ in cases])
        assert found == [words for _, _, words in cases]
