"""From a template to a page: one file, everything in it, other people's text escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from p2i_ray.console.durations import duration


def render(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A page of templates/, filled in; a value that is missing is an error.

    Args:
        template: its file.
        filters: further ones, by the names that the template uses.
        **values: by name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "duration": duration,
        "figure": figure,
        "percent": percent,
        "signed": signed,
        **(filters or {}),
    }
    return templates.get_template(template).render(values)


def figure(value: float | None) -> str:
    """Two digits behind the point, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float | None) -> str:
    """A share in whole percent, or a dash."""
    return "–" if share is None else f"{100 * share:.0f} %"


def signed(value: float | None) -> str:
    """A difference with its sign, or a dash."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")
