"""A person at the page: chromium driven by playwright, recording whatever should never happen."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.missing import missing
from tests.support.page_server import TOKEN, RunningService
from tests.support.photos import photo

# The one that was built without windows takes a third of the processor's time.
NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
COFFEE = photo("coffee.png")  # 600 x 400
NAME = "Espresso cup, red stoneware"
RECORD_VIOLATIONS = """window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective));"""
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium without a window."""
    expect.set_options(timeout=30_000)
    if CHROMIUM is None:
        missing("there is no chromium on the PATH; on Debian: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A tab on the service's page, and helpers that read like what a person does."""

    def __init__(self, page: Page, service: RunningService) -> None:
        self.page, self.service = page, service
        self.errors: list[str] = []  # of the console
        self.addresses: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("filechooser", lambda _: None)  # intercepted from now on: `expect_file_chooser` alone may come too late
        page.on("request", lambda request: self.addresses.append(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def choose(self, file: Path | dict[str, Any]) -> None:
        """Choose a photo and wait for its cutout."""
        self.page.set_input_files("#file", file)
        expect(self.page.locator("#spoken")).to_contain_text("The product covers", timeout=30_000)

    def submit(self, name: str = NAME) -> None:
        """Type a name and ask for pictures."""
        self.page.get_by_label("Name, as a shop would list it").fill(name)
        self.page.get_by_role("button", name="Paint four pictures").click()

    def see_results(self, words: str = "four pictures", count: int = 4) -> None:
        """Wait for pictures."""
        expect(self.page.get_by_role("heading", name=words)).to_be_visible(timeout=30_000)
        expect(self.page.locator(".pick")).to_have_count(count)
        self.page.wait_for_function("[...document.images].every((i) => !i.src || i.complete)")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a point of the cutout is, x and y from 0 to 1."""
        self.page.locator("#cutout").scroll_into_view_if_needed()
        box = self.page.locator("#cutout").bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def draw(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A stroke with the mouse."""
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=4)
        self.page.mouse.up()

    def alpha(self) -> np.ndarray:
        """The shown cutout's opacity, (H, W) uint8."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        address = self.page.evaluate("document.querySelector('#cutout').toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).getchannel("A"))

    def uploaded(self, field: str) -> Image.Image:
        """A picture of the last request that had a body, as its bytes say it is."""
        part = self.service.bodies[-1][1].split(f'name="{field}"'.encode(), 1)[1]
        head, content = part.split(b"\r\n\r\n", 1)
        assert b"filename" in head
        return Image.open(io.BytesIO(content.split(b"\r\n------", 1)[0]))

    def texts(self) -> dict[str, str]:
        """The text fields of the last request that had a body."""
        found = {}
        for part in re.split(rb"\r\n?--+[^\r\n]+(?:--)?\r\n", b"\r\n" + self.service.bodies[-1][1]):
            head, _, content = part.partition(b"\r\n\r\n")
            if (name := re.search(rb'name="([^"]+)"', head)) and b"filename" not in head:
                found[name[1].decode()] = content.decode()
        return found

    def check_clean(self, allowed: str = "nothing") -> None:
        """Check that no error was logged, nothing left the origin, and the policy blocked nothing."""
        assert not [text for text in self.errors if allowed not in text]
        assert self.page.evaluate("violations") == []
        strange = [url for url in self.addresses if not url.startswith((self.service.url, f"blob:{self.service.url}"))]
        assert not strange
        assert TOKEN not in "".join([*self.addresses, self.page.url])

    def fits(self) -> bool:
        """Whether the page can't be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@contextmanager
def visit(browser: Browser, service: RunningService, *, token: bool = True, **options: Any) -> Iterator[Visit]:
    """A fresh tab on the page; token: the person has given it before. The sampler is reset."""
    service.open_gate()
    service.sampler.requests.clear()
    service.sampler.spoils.clear()
    service.bodies.clear()
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options})
    context.set_default_timeout(60_000)
    context.add_init_script(RECORD_VIOLATIONS)
    try:
        page = context.new_page()
        here = Visit(page, service)
        page.goto(service.url)
        if token:
            page.evaluate("(token) => sessionStorage.setItem('p2i-token', token)", TOKEN)
        yield here
    finally:
        context.close()
