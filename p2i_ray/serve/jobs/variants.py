"""Products by styles and sizes: what the form's `styles` and `sizes` lay over each product."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from p2i_ray.judge.requests.tasks import clean_name
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.serve.edge.texts import check_texts, given
from p2i_ray.serve.jobs.table import check_columns

MAX_LABEL_CHARS = 40
MOST = 100  # styles, and sizes
FIELDS = ("styles", "sizes")  # of the form
STYLES = 'styles must be a JSON list such as [{"label": "summer", "reference": "summer.jpg"}]'
SIZES = "sizes must be a list such as 1024x1024,1024x1536"


@dataclass(frozen=True)
class Variant:
    """One style and size in which each product is painted.

    Attributes:
        style: the style's label (none: there are no styles).
        fields: of an images edit, over the product's own; the size among them, where there are sizes.
    """

    style: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_variants(texts: Mapping[str, str], known: Collection[str]) -> list[Variant]:
    """The form's styles by its sizes, one style after the other; a single variant without fields if it has none.

    Args:
        texts: the form's.
        known: names of fields of a product.

    Raises:
        APIError: a style or a size can't be used.
    """
    sizes = [{"size": size} for size in _sizes(texts["sizes"])] if texts.get("sizes", "").strip() else [{}]
    styles = _styles(texts["styles"], known) if texts.get("styles", "").strip() else [Variant()]
    for style in styles:
        if "size" in style.fields and sizes[0]:
            raise bad_request(f"style {style.style} has a size, and sizes has them for all; keep one", "styles")
    return [Variant(style.style, {**style.fields, **size}) for style in styles for size in sizes]


def _sizes(text: str) -> list[str]:
    sizes = [size.strip() for size in text.split(",")]
    if not all(sizes):
        raise bad_request(SIZES, "sizes")
    _check_number(sizes, "sizes")
    for size in sizes:
        if sizes.count(size) > 1:
            raise bad_request(f"sizes has {short(size)} twice; give it once", "sizes")
    return sizes


def _styles(text: str, known: Collection[str]) -> list[Variant]:
    try:
        styles = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request(STYLES, "styles") from None
    if not isinstance(styles, list) or not styles or not all(isinstance(style, dict) for style in styles):
        raise bad_request(STYLES, "styles")
    _check_number(styles, "styles")
    variants = []
    for number, style in enumerate(styles):
        try:
            variants.append(_style(number, style, known))
        except APIError as error:
            raise bad_request(f"styles[{number}]: {error.message}", f"styles[{number}]") from None
    labels = [variant.style for variant in variants]
    for label in labels:
        if labels.count(label) > 1:
            raise bad_request(f"styles has the label {label} twice; give each its own", "styles")
    return variants


def _check_number(found: list[Any], field: str) -> None:
    if len(found) > MOST:
        raise bad_request(f"there are {len(found)} {field}; at most {MOST}, send several jobs", field)


def _style(number: int, style: dict[str, Any], known: Collection[str]) -> Variant:
    check_texts(style)
    fields = given(style, known=style)
    label = fields.pop("label", str(number + 1))
    if not isinstance(label, str) or not clean_name(label, MAX_LABEL_CHARS) or len(label) > MAX_LABEL_CHARS:
        raise bad_request(f"label must be a text of 1 to {MAX_LABEL_CHARS} characters")
    check_columns(list(fields), known)
    for part in ("image", "mask"):
        if part in fields:
            raise bad_request(f"a style has no {part}: each product has its own; leave it out")
    if "name" in fields:
        fields["prompt"] = fields.pop("name")
    return Variant(clean_name(label, MAX_LABEL_CHARS), fields)
