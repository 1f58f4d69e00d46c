"""The web page at `/`: its files, read once, with a content security policy that allows nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

from p2i_ray.serve.images.marketplaces import Marketplace

FOLDER = Path(__file__).parent
MOST_CATEGORIES = 1_000  # they come with the page
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class Offers:
    """The service's offers beyond painting, which the page then asks for.

    Attributes:
        judged: it has a judge, which scores pictures and approves of them.
        styled: it paints in the style of a reference.
        by_category: it paints by category.
        categories: the names of those that were trained, of which the page offers the first MOST_CATEGORIES.
        marketplaces: the presets that the field `marketplace` takes; none: the page has no such choice.
        shapes: width by height of the model's own sizes, where size=auto is the nearest of several.
    """

    judged: bool = False
    styled: bool = False
    by_category: bool = False
    categories: Sequence[str] = ()
    marketplaces: Mapping[str, Marketplace] = field(default_factory=dict)
    shapes: Sequence[float] = ()

    def attributes(self) -> str:
        """The attributes of the page's body that say so."""
        flags = {"judged": self.judged, "styled": self.styled, "by-category": self.by_category}
        found = [f"data-{name}" for name, offered in flags.items() if offered]
        places = {
            name: {"aspect": place.size.aspect, "share": place.share, "margin": place.margin}
            for name, place in self.marketplaces.items()
        }
        named = list(self.categories[:MOST_CATEGORIES])
        values = {"marketplaces": places, "shapes": list(self.shapes), "categories": named}
        found += [f'data-{name}="{html.escape(json.dumps(value))}"' for name, value in values.items() if value]
        return " ".join(found)


def install(app: FastAPI, folder: Path = FOLDER, *, offers: Offers = Offers()) -> None:
    """Serve index.html at `/` and the folder's other files next to it; nothing if there is no page.

    Args:
        app: the application.
        folder: of the page's files.
        offers: of the service.
    """
    if not (folder / "index.html").is_file():
        return
    files = [file for file in sorted(folder.iterdir()) if file.suffix in TYPES]
    for file in files:
        path = "/" if file.name == "index.html" else f"/{file.name}"
        content = file.read_bytes()
        if file.name == "index.html":
            content = _filled(content, offers, [file.name for file in files if file.suffix == ".js"])
        app.add_api_route(path, _page(content, TYPES[file.suffix]), methods=["GET", "HEAD"])


def _filled(page: bytes, offers: Offers, modules: Sequence[str]) -> bytes:
    """The page with the service's offers, and links by which a browser asks for all scripts at once."""
    links = "".join(f'<link rel="modulepreload" href="{html.escape(name)}">\n' for name in modules)
    page = page.replace(b"</head>", links.encode() + b"</head>", 1)
    attributes = offers.attributes()
    return page.replace(b"<body>", f"<body {attributes}>".encode(), 1) if attributes else page


def _page(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(content, headers=headers, media_type=kind)

    return page
