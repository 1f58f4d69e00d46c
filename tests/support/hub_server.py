"""A stand-in of the Hugging Face hub on loopback: listings, files in ranges, and what can go wrong."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = ".safetensors"  # these are stored as LFS objects, whose checksum is SHA-256


class Hub:
    """Repositories and their files.

    Attributes:
        files: content by path, by repository.
        gated: repositories that ask for a token.
        cut_after: bytes of a file after which the connection is closed, once a path; taken out when it has happened.
        lie: paths whose content is changed on the way.
        asked: (method, path, range) of the requests for files.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.cut_after: dict[str, int] = {}
        self.lie: set[str] = set()
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = ""


def entry(path: str, content: bytes) -> dict[str, object]:
    """A file as the hub lists it."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    found: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 130}
    return found


@contextmanager
def serving() -> Iterator[Hub]:
    """The hub while the block runs; its address is `url`."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)(?:/.*)?", path):
                return self.listing(*found.groups())
            if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                return self.file(found[1], found[3], body=body)
            return self.send(404, b"{}")

        def listing(self, repository: str, kind: str, revision: str) -> None:
            if repository not in hub.files:
                return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if repository in hub.gated:
                return self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
            if revision not in ("main", COMMIT):
                return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            entries = [entry(path, content) for path, content in hub.files[repository].items()]
            if kind == "tree":
                return self.send(200, json.dumps(entries).encode())
            siblings = [{"rfilename": one["path"], "size": one["size"], "blobId": one["oid"]} for one in entries]
            about = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
            return self.send(200, json.dumps({**about, "private": False, "tags": [], "downloads": 0}).encode())

        def file(self, repository: str, path: str, *, body: bool) -> None:
            content = hub.files[repository][path]
            asked = self.headers.get("Range")
            hub.asked.append((self.command, path, asked))
            checksum = hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else str(entry(path, content)["oid"])
            headers = {"ETag": f'"{checksum}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if path in hub.lie:
                content = content[:-1] + bytes([content[-1] ^ 1])
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            if asked:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(
                206 if asked else 200,
                content[start:],
                headers,
                body=body,
                cut=hub.cut_after.pop(path, None) if body else None,
            )

        def send(
            self,
            status: int,
            content: bytes,
            headers: dict[str, str] | None = None,
            *,
            body: bool = True,
            cut: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body and self.command == "GET":
                self.wfile.write(content if cut is None else content[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
