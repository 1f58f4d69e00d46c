"""The label's text, by an OCR package where one is installed: rapidocr, whose small models come with it."""

from __future__ import annotations

import difflib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError

LabelReader = Callable[[Pixels], str]  # (H, W, 3) uint8 to the text that is seen, its lines joined by spaces
PACKAGE = "rapidocr"
SIMILAR = 0.9  # of two texts' characters, from which they count as one: OCR is not exact


class RapidOCRReader:
    """Reads texts by rapidocr; safe for threads, one at a time.

    Raises:
        UserError: the package isn't installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec(PACKAGE) is None:
            raise UserError(f"serve.truth.read_text needs the package {PACKAGE}: pip install 'p2i_ray[ocr]'")
        from rapidocr import RapidOCR

        self._engine: Any = RapidOCR(params={"Global.log_level": "error"})
        self._lock = threading.Lock()

    def __call__(self, picture: Pixels) -> str:
        """The text of a picture (H, W, 3), its lines joined by spaces; empty: there is none."""
        with self._lock:
            found = self._engine(picture[..., ::-1])  # it takes BGR
        return " ".join(found.txts or ())


def same_text(before: str, after: str) -> bool:
    """Whether two readings are of the same text: at least nine of ten characters agree, spaces and case aside."""
    one, other = ("".join(text.split()).casefold() for text in (before, after))
    return one == other or difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() >= SIMILAR
