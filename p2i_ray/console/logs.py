"""The format of a job's log lines: time, level, and the round and step that the driver is at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORMAT = "%(asctime)s %(levelname)s %(step)s%(message)s"
_steps: dict[int, str] = {}  # by thread: the step that it is at


def set_up() -> None:
    """Configure this process's logging. Libraries with handlers of their own keep them."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT, "%H:%M:%S"))
    handler.addFilter(_with_step)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("transformers.modeling_rope_utils").addFilter(_is_of_use)


@contextmanager
def at(step: str) -> Iterator[None]:
    """Have log lines from within the block name the step, e.g. "round 2/3 · train".

    While the main thread is in such a block, lines of threads that are at no step of their own name its step, too.
    """
    thread = threading.get_ident()
    before = _steps.get(thread, "")
    _steps[thread] = step
    try:
        yield
    finally:
        _steps[thread] = before


def _is_of_use(record: logging.LogRecord) -> bool:
    """Whether a line is not transformers' own note that it can't check the rotary embedding of each Qwen2.5-VL."""
    return "Missing validation function" not in record.getMessage()


def _with_step(record: logging.LogRecord) -> bool:
    main = threading.main_thread().ident
    step = _steps.get(record.thread or 0) or _steps.get(main or 0)
    record.step = f"{step}: " if step else ""
    return True
