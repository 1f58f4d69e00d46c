"""The lease: at most one driver works on a run folder, on a disk or in a bucket.

`<run_dir>/lease.json` names the process that holds it and a count of ticks, which a thread raises every few seconds. A
second driver ends in one line as soon as it sees a tick. It takes the lease over when the holder's process is gone (on
the same machine), or when no tick came for a minute by its own monotonic clock.

Buckets have no locks. Where a store can't create a file conditionally, and at every takeover, the new holder writes
its id, waits and reads back: of several that write, the last one holds it. Should two have passed, because a write was
on its way for longer than that, the one whose id is gone finds out at its next tick and stops.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from p2i_ray.console import interrupts
from p2i_ray.console.durations import duration
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError, one_line
from p2i_ray.run.holder import Holder, this_process
from p2i_ray.storage import exclusive, folders, locations

LOGGER = logging.getLogger(__name__)
FILE = "lease.json"
CLOSE_S = 10.0  # longest wait for a tick that is being written when the lease is given back


class Timing(NamedTuple):
    """Seconds that a lease goes by; all of them by the process's own clock."""

    renew: float = 5.0  # between two ticks
    dead: float = 60.0  # without a tick: its holder is dead
    settle: float = 1.0  # from a write to the look at whose it is
    poll: float = 0.5  # between two looks at another's lease


class Clock(NamedTuple):
    """A clock that nobody sets, and waiting by it."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Seen(NamedTuple):
    """A lease's file as it was read; without a holder it is another's unfinished or broken one."""

    content: bytes
    holder: Holder | None

    def line(self) -> str:
        """The holder in words."""
        return self.holder.line() if self.holder else "a process that isn't named"


State = Literal["free", "alive", "dead"]
TIMING, CLOCK = Timing(), Clock()


def read(location: str) -> Seen | None:
    """The lease of a location; none if there is none."""
    try:
        content = locations.read_bytes(location)
    except FileNotFoundError:
        return None
    try:
        return Seen(content, Holder.model_validate_json(content))
    except ValidationError:
        return Seen(content, None)


def state(location: str, patience: float, poll: float, clock: Clock = CLOCK) -> tuple[State, Seen | None]:
    """Whether somebody holds a lease and works, which may take a while to see.

    Args:
        location: of its file; any file that a living process rewrites will do.
        patience: seconds without a change after which its holder is dead. While the file can't be read, time stands.
        poll: seconds between two looks.
        clock: this process's.
    """
    first = read(location)
    if first is None:
        return "free", None
    process = first.holder.process() if first.holder else "unknown"
    if process != "unknown":
        return ("alive" if process == "runs" else "dead"), first
    began = clock.now()
    while clock.now() - began < patience:
        clock.sleep(poll)
        try:
            seen = read(location)
        except Exception as error:  # each bucket's client has its own
            LOGGER.warning("can't read %s: %s", location, one_line(error))
            began = clock.now()
            continue
        if seen is None:
            return "free", None
        if seen.content != first.content:
            return "alive", seen
    return "dead", first


class Lease:
    """A lease that this process holds, from `acquire` to `release`.

    Args:
        location: of its file, in a folder that exists.
        timing: see Timing.
        clock: this process's.
    """

    def __init__(self, location: str, timing: Timing = TIMING, clock: Clock = CLOCK) -> None:
        self.location = location
        self.lost_to: Seen | None = None  # somebody who has taken it over
        self._timing, self._clock = timing, clock
        self._mine = this_process()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned = False

    def acquire(self) -> None:
        """Take the lease, maybe from a holder that is dead, and keep it by ticks.

        Raises:
            UserError: another process has it, and works; the line names it.
        """
        while not self._create():
            seen = read(self.location)
            if seen is None:  # given back in between
                continue
            if seen.holder is None or seen.holder.process() == "unknown":
                say(f"{self.location} is of {seen.line()}; looking for up to {duration(self._timing.dead)} if it works")
            found, seen = state(self.location, self._timing.dead, self._timing.poll, self._clock)
            if seen is not None and found == "alive":
                raise UserError(_in_use(self.location, seen))
            if seen is not None and self._take_over(seen):
                break
        self._thread = threading.Thread(target=self._renew_regularly, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure, by the store itself, that nobody has taken the lease over.

        Raises:
            UserError: somebody has; the line names it.
        """
        seen = read(self.location)
        if seen is not None and not self._is_mine(seen):
            self.lost_to = seen
        if self.lost_to:
            raise UserError(_taken(self.location, self.lost_to))

    def release(self) -> None:
        """Give the lease back, unless somebody has taken it over."""
        self._stop.set()
        if self._thread:
            self._thread.join(CLOSE_S)
        try:
            seen = read(self.location)
            if seen is not None and self._is_mine(seen):
                locations.remove(self.location)
        except Exception as error:  # each bucket's client has its own; the next driver sees that this process is gone
            LOGGER.warning("can't remove %s: %s", self.location, one_line(error))

    def renew(self) -> None:
        """Write a tick; find out if somebody has taken the lease over."""
        seen = read(self.location)
        if seen is None:  # somebody removed it, or its disk is away: a folder that is away must not be made
            try:
                exclusive.create(self.location, self._content())
            except NotImplementedError:
                locations.write_bytes(self.location, self._content())
        elif self._is_mine(seen):
            self._mine.ticks += 1
            locations.write_bytes(self.location, self._content())
        else:
            self.lost_to = seen

    def _create(self) -> bool:
        if read(self.location) is not None:  # a store that ignores the condition would lose it
            return False
        content = self._content()
        try:
            created = exclusive.create(self.location, content) and exclusive.is_honoured(self.location, content)
        except NotImplementedError:
            locations.write_bytes(self.location, content)
            created = False
        return created or self._settles()

    def _take_over(self, dead: Seen) -> bool:
        seen = read(self.location)
        if seen is None or seen.content != dead.content:  # somebody else was first
            return False
        locations.write_bytes(self.location, self._content())
        return self._settles()

    def _settles(self) -> bool:
        """Whether what is there after a while is this process's."""
        self._clock.sleep(self._timing.settle)
        seen = read(self.location)
        return seen is not None and self._is_mine(seen)

    def _renew_regularly(self) -> None:
        while not self._stop.wait(self._timing.renew):
            try:
                self.renew()
                self._warned = False
            except Exception as error:  # each bucket's client has its own errors; the next tick may be written
                if not self._warned:
                    LOGGER.warning("can't renew %s: %s", self.location, one_line(error))
                self._warned = True
            if self.lost_to:
                interrupts.request(f"stopping: {_taken(self.location, self.lost_to)}")
                return

    def _is_mine(self, seen: Seen) -> bool:
        return seen.holder is not None and seen.holder.owner == self._mine.owner

    def _content(self) -> bytes:
        return self._mine.model_dump_json().encode("utf-8")


@contextmanager
def held(location: str, timing: Timing = TIMING) -> Iterator[Lease]:
    """Hold a lease for the block, whose main thread is interrupted if somebody takes it over.

    Args:
        location: of the lease's file; its folder is made.
        timing: see Timing.

    Raises:
        UserError: another process has it, or has taken it over; or a file is where its folder would be.
    """
    _check_is_folder(location.rpartition("/")[0])
    folders.make_folder(location.rpartition("/")[0])
    lease = Lease(location, timing)
    lease.acquire()
    try:
        yield lease
    except BaseException as error:
        if lease.lost_to:
            raise UserError(_taken(location, lease.lost_to)) from error
        raise
    finally:
        lease.release()


def check_free(location: str, timing: Timing = TIMING) -> None:
    """Find out, before anything is done, that nobody holds a lease and works; `held` makes sure of it.

    Raises:
        UserError: another process has it, and works; the line names it. Or a file is where its folder would be.
    """
    _check_is_folder(location.rpartition("/")[0])
    found, seen = state(location, timing.dead, timing.poll)
    if seen is not None and found == "alive":
        raise UserError(_in_use(location, seen))


def _check_is_folder(folder: str) -> None:
    """Check that a folder on a disk is there, or can be made."""
    if locations.is_uri(folder):
        return
    path = Path(locations.local_path(folder))
    nearest = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    if os.path.lexists(nearest) and not nearest.is_dir():
        raise UserError(f"{nearest} is no folder; give another one than {folder}, or remove it")


def _folder(location: str) -> str:
    """The folder that a lease is of: the one that it lies in, or the one that it lies beside."""
    return location.removesuffix(f"/{FILE}").removesuffix(f".{FILE}")


def _in_use(location: str, seen: Seen) -> str:
    folder = _folder(location)
    return f"{folder} is in use by {seen.line()}; let it end, or stop it there, then give the same command again"


def _taken(location: str, seen: Seen) -> str:
    folder = _folder(location)
    return f"{folder} was taken over by {seen.line()}, which had seen no sign of life of this process; it goes on there"
