"""generator.json: a generator's kind, prompts and categories, and the base that it was made from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from p2i_ray.config.generators import CATEGORY, GeneratorsConfig
from p2i_ray.diffusion.model import validation
from p2i_ray.diffusion.model.fingerprint import of_models
from p2i_ray.errors import UserError
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.storage import locations

log = logging.getLogger(__name__)
NAME = "generator.json"
FORMAT = 1


def read(location: str) -> dict[str, Any]:
    """A generator's own settings.

    Raises:
        UserError: they are of a later version, or not complete.
    """
    place = locations.join(location, NAME)
    record = validation.read_config(place)
    if record.get("format") != FORMAT:
        raise UserError(f"{place} has format {record.get('format')}, not {FORMAT}: another version wrote it")
    kind = record.get("kind")
    if kind not in ("category", "personality"):
        raise UserError(f"{place} has kind {kind!r}, not category or personality; restore it from a copy")
    wanted: dict[str, type] = {"kind": str, "base": str, "product": str}
    wanted |= {"background": str, "categories": list} if kind == "category" else {"masked": str}
    if absent := [name for name, of in wanted.items() if not isinstance(record.get(name), of)]:
        raise UserError(f"{place} has no usable {absent[0]}; restore it from a copy")
    if record["product"].count(CATEGORY) != 1:
        raise UserError(f"{place} has product {record['product']!r}, without one {CATEGORY}; restore it from a copy")
    if kind == "personality" and record["masked"] not in ("attention", "all"):
        raise UserError(f"{place} has masked {record['masked']!r}, not attention or all; restore it from a copy")
    if kind == "category":
        fields = {"name": str, "parent": str, "rows": int}
        for entry in record["categories"]:
            typed = isinstance(entry, dict) and {name: type(value) for name, value in entry.items()} == fields
            if not typed:
                raise UserError(f"{place} has a category {entry!r}, not {{name, parent, rows}}; restore it from a copy")
    return record


def check_settings(location: str, record: Mapping[str, Any], settings: GeneratorsConfig, tokens: int | None) -> None:
    """Check that settings which a folder has itself are not given otherwise: they would count for nothing.

    Args:
        location: of the folder.
        record: what `read` gave.
        settings: those that somebody has set are looked at.
        tokens: of an identifier; none: it has none.

    Raises:
        UserError: one is given otherwise.
    """
    own = {
        "product_prompt": record["product"],
        "background_prompt": record.get("background"),
        "tokens": tokens,
        "masked": record.get("masked"),
        "plain": record.get("plain"),
    }
    for name in sorted(settings.model_fields_set & own.keys()):
        given = getattr(settings, name)
        if own[name] is not None and given != own[name]:
            raise UserError(
                f"generators.{name}={given} is not what {location} was trained with, {own[name]}; leave it out"
            )
    base_prompt = record.get("base_prompt")
    if base_prompt is not None and settings.base_prompt != base_prompt:
        raise UserError(
            f"{location} was trained with generators.base_prompt={base_prompt}, not {settings.base_prompt}; set that"
        )


def warn_of_partners(settings: GeneratorsConfig) -> None:
    """Say which generator paints without the one that was beside it in training; it never saw such pictures.

    Args:
        settings: the folders, which have been checked.
    """
    for kind, other in (("category", "personality"), ("personality", "category")):
        location, partner = getattr(settings, kind), getattr(settings, other)
        if location is None or (trained := read(location).get("beside")) is None:
            continue
        if partner is None or of_models(partner) != trained:
            log.warning(
                "generators.%s=%s was trained beside a %s-wise generator, and paints %s: what it paints may differ "
                "from what it learned; give that one as generators.%s",
                *(kind, location, other, "without it" if partner is None else f"beside another, {partner}", other),
            )


def categories(location: str) -> Categories:
    """The categories of a category-wise generator's folder, which has been checked."""
    return Categories([Category(**entry) for entry in read(location)["categories"]])
