"""Ctrl-C, SIGTERM and closed pipes: say at once what happens, end within seconds, and show no stack.

The first signal prints a line and raises KeyboardInterrupt in the main thread, so that files are closed and engines
stopped. The second one, or a clean-up that takes too long, ends the process on the spot: whatever it started ends with
it, and what it writes is made for that.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLEAN_UP_S = 8.0  # longest time between the first signal and the end
EXIT_CODE = 128  # plus the signal's number: what shells expect
CLOSED_PIPE = EXIT_CODE + signal.SIGPIPE

_clean_ups: list[Callable[[], None]] = []
_watchdog: list[int] = []  # the pipe by which it is told that a clean-up has begun
_first: list[int] = []  # the first signal
_over: list[bool] = []  # the job is done, and the interpreter about to end
_requests: list[str] = []  # lines of requests that this process made itself


@contextmanager
def handled(*, embedded: bool = False) -> Iterator[None]:
    """Handle signals in the block, and end the process where one came, or where nobody reads its output any more.

    Args:
        embedded: the process goes on after the block, with the handlers that it had.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    install()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _end_interrupted()
    except BrokenPipeError:
        if not _nobody_reads(sys.stdout, sys.stderr):
            raise
        os.write(_watchdog[0], b".")
        _clean_up()
        os._exit(CLOSED_PIPE)  # at the interpreter's own end it would write the rest, and complain
    except Exception:
        if not interrupted():
            raise
        _end_interrupted()
    finally:
        if embedded:
            _set(before)
        else:
            _over.append(True)


def before_end(clean_up: Callable[[], None]) -> None:
    """Have something done before this process ends early; what it takes too long for is left."""
    if clean_up not in _clean_ups:
        _clean_ups.append(clean_up)


def install() -> None:
    """Have signals handled here from now on."""
    if not _watchdog:
        reader, writer = os.pipe()
        _watchdog.append(writer)
        threading.Thread(target=_watch, args=[reader], name="end of an interrupted job", daemon=True).start()
    _set(dict.fromkeys(SIGNALS, _handle))


@contextmanager
def kept() -> Iterator[None]:
    """Keep the handlers that there are from what is called in the block: Ray's start replaces that of SIGTERM.

    Ray's handler exits with the signal's number, at any time of its start, which may take ten seconds.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    except SystemExit as ended:
        if before[signal.SIGTERM] is not _handle or ended.code != signal.SIGTERM:
            raise
        _handle(signal.SIGTERM, None)
    finally:
        if before[signal.SIGINT] is _handle:
            _set(before)


def _set(handlers: Mapping[signal.Signals, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, and what shells start in the background
                signal.signal(number, handler)


def interrupted() -> bool:
    """Whether a signal has come from outside: what fails then is taken to fail because of it."""
    return bool(_first) and not _requests


def request(line: str) -> None:
    """Interrupt the main thread from another one, which says why in a line."""
    _requests.append(line)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def end_now() -> None:
    """End this process on the spot."""
    os._exit(exit_code())


def exit_code() -> int:
    """Exit code of a process that was interrupted: the signal's, or 2 where this process asked for it itself."""
    return 2 if _requests else EXIT_CODE + (_first[0] if _first else signal.SIGINT)


def _handle(number: int, _: FrameType | None) -> None:
    if _first or _over:
        end_now()
    _first.append(number)
    _write(_requests[0] if _requests else "stopping; what is finished stays, the same command goes on (again: at once)")
    os.write(_watchdog[0], b".")
    raise KeyboardInterrupt


def _end_interrupted() -> None:
    with suppress(OSError):
        sys.stdout.flush()
    _clean_up()
    end_now()


def _clean_up() -> None:
    for clean_up in _clean_ups:
        with suppress(Exception):  # of parts that are gone already
            clean_up()


def _watch(pipe: int) -> None:
    """End the process if the clean-up that somebody announces takes too long.

    The thread waits from the beginning, since a signal may come while the main thread holds the lock that new threads
    need.
    """
    os.read(pipe, 1)
    time.sleep(CLEAN_UP_S)
    end_now()


def _write(line: str) -> None:
    """To the terminal, past any buffer: the main thread may be within a write of its own."""
    with suppress(OSError, ValueError):  # nobody reads it, or it is no file
        os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


def _nobody_reads(*streams: TextIO) -> bool:
    """Whether one of the streams is a pipe that its reader has closed."""
    poll = select.poll()
    for stream in streams:
        with suppress(OSError, ValueError):
            poll.register(stream.fileno(), 0)  # errors alone
    return any(event & select.POLLERR for _, event in poll.poll(0))
