"""A receiver of webhooks on a loopback port, which checks signatures by its own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"the receiver's own secret, 32 B.").decode("ascii")


@dataclass
class Receiver:
    """What arrived, and what is answered: the answers in their order, then the last one again."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [204])
    wait_s: float = 0.0
    messages: list[dict[str, Any]] = field(default_factory=list)

    def check(self, headers: Any, body: bytes) -> None:
        """Verify a signature as Standard Webhooks describes it, and keep the message."""
        identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert abs(time.time() - int(timestamp)) < 60
        key = base64.b64decode(SECRET.split("_")[1])
        digest = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        signatures = headers["webhook-signature"].split(" ")
        genuine = f"v1,{base64.b64encode(digest).decode()}" in signatures
        content = {"id": identifier, "genuine": genuine, "host": headers["host"], **json.loads(body)}
        self.messages.append(content)


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running receiver."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            state.check(self.headers, self.rfile.read(int(self.headers["content-length"])))
            time.sleep(state.wait_s)
            self.send_response(answer)
            if answer in (301, 302, 307, 308):
                self.send_header("Location", f"{state.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        state.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(10)
