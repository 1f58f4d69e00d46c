"""A bucket on this machine: moto's S3 server, which can be told to answer 503 SlowDown."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACCOUNT, REGION = "123456789012", "us-east-1"  # moto's own
SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""


class Throttle:
    """WSGI middleware that answers requests with 503 SlowDown, as S3 does, in place of the application.

    Args:
        application: answers the others.
        share: fraction of the requests that are refused, 0..1; it may be set later.
        seed: determines which.

    Attributes:
        refuses_all: whether every request is refused.
        answered, refused: numbers of requests so far.
    """

    def __init__(self, application: WSGIApplication, share: float = 0.0, seed: int = 0) -> None:
        self._application = application
        self.share = share
        self._choice = random.Random(seed)
        self._lock = threading.Lock()
        self.refuses_all = False
        self.answered = 0
        self.refused = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        with self._lock:
            refuse = self._choice.random() < self.share or self.refuses_all
            self.refused += refuse
            self.answered += not refuse
        if not refuse:
            return self._application(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # else the client sees a broken pipe
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else SLOW_DOWN
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response("503 Slow Down", headers)
        return [body]


class Bucket:
    """An S3 server in a thread of this process, with one bucket; what it holds is gone when the process ends.

    Args:
        name: of the bucket; servers in one process share their buckets.
        share: fraction of the requests that are answered 503, 0..1.
        seed: determines which.
        host: this machine's address at which it listens.
    """

    def __init__(self, name: str, share: float = 0.0, seed: int = 0, host: str = "127.0.0.1") -> None:
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
        self.name = name
        self._host = host
        self.throttle = Throttle(DomainDispatcherApplication(create_backend_app), share, seed)
        self._server: Any = make_server(host, 0, self.throttle, threaded=True, request_handler=MotoRequestHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="bucket", daemon=True)

    def __enter__(self) -> Self:
        from moto.s3.models import s3_backends

        self._thread.start()
        account = s3_backends[ACCOUNT]["aws"]
        if self.name not in account.buckets:
            account.create_bucket(self.name, REGION)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def refuse(self) -> None:
        """Answer every request with 503 from now on."""
        self.throttle.refuses_all = True

    def answer(self) -> None:
        """Answer again."""
        self.throttle.refuses_all = False

    def has(self, key: str) -> bool:
        """Whether an object is there; no request is made for it."""
        from moto.s3.models import s3_backends

        return key in s3_backends[ACCOUNT]["aws"].buckets[self.name].keys

    @property
    def uri(self) -> str:
        """Location of the bucket."""
        return f"s3://{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which clients, of this process or another, find the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self._host}:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
