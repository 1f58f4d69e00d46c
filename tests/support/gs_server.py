"""An emulator of Google's storage on this machine, in a thread."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port


class GsServer:
    def __init__(self, bucket: str) -> None:
        from gcp_storage_emulator.server import create_server

        self.uri = f"gs://{bucket}"
        port = free_port()
        self.environment = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # which asks Google's control service for the bucket's kind
        }
        self._server: Any = create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.stop()
