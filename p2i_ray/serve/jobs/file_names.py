"""Names of a result's files that say product, style and size, and are the same on every system."""

from __future__ import annotations

import re
import unicodedata

from p2i_ray.serve.images.encoding import SUFFIX
from p2i_ray.serve.images.marketplaces import Format
from p2i_ray.serve.jobs.schema import JobItem

PRODUCT_CHARS, STYLE_CHARS = 40, 24  # at most, of each part
_OTHER = re.compile(r"[^a-z0-9]+")


def picture_name(item: JobItem, number: int, *, size: str, form: Format) -> str:
    """The name of an item's picture, e.g. 00003-steel-cup_summer_1024x1536-0.png.

    The item's and the picture's numbers make it unique; a product or style without Latin letters or digits is left out.
    At most 100 characters: lower-case ASCII letters, digits, - and _ before the suffix.
    """
    parts = [slug(item.ask.prompt, PRODUCT_CHARS), slug(item.style or "", STYLE_CHARS), size]
    said = "_".join(part for part in parts if part)
    return "-".join(filter(None, (f"{item.index:05d}", said, str(number)))) + f".{SUFFIX[form]}"


def slug(text: str, longest: int) -> str:
    """A text in lower-case ASCII letters and digits, words joined by -; é becomes e, other letters are left out."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return _OTHER.sub("-", plain).strip("-")[:longest].rstrip("-")
