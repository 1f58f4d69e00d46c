"""The web page at `/`: its files, read once, with a content security policy that allows nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response

FOLDER = Path(__file__).parent
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
}


def install(app: FastAPI, folder: Path = FOLDER, *, styled: bool = False) -> None:
    """Serve index.html at `/` and the folder's other files next to it; nothing if there is no page.

    Args:
        app: the application.
        folder: of the page's files.
        styled: whether the service paints in the style of a reference, which the page then asks for.
    """
    if not (folder / "index.html").is_file():
        return
    for file in sorted(folder.iterdir()):
        if file.suffix in TYPES:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            content = file.read_bytes()
            if file.name == "index.html" and styled:
                content = content.replace(b"<body>", b"<body data-styled>", 1)
            app.add_api_route(path, _page(content, TYPES[file.suffix]), methods=["GET", "HEAD"])


def _page(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(content, headers=headers, media_type=kind)

    return page
