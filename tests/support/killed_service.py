"""A generator service in a process of its own, to be killed: it holds at the third picture.

Arguments: its folder, and the address that webhooks may have.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from tests.support.generator_parts import StubSampler, open_service
from tests.support.webhook_receiver import SECRET


class Stopping(StubSampler):
    """Holds from the third picture on."""

    async def paint(self, request: Any) -> Any:
        self.held = len(self.requests) >= 2
        return await super().paint(request)


if __name__ == "__main__":
    folder, webhook = sys.argv[1:]
    settings = {"webhooks": {"allowed": [webhook]}, "quotas": {"pictures_per_day": 10}}
    with open_service(folder, sampler=Stopping(), settings=settings, environment={"P2I_WEBHOOK_SECRET": SECRET}) as own:
        print(own.url, flush=True)
        threading.Event().wait()
