"""Look in the first seconds of a run for what would make it fail after hours: storage, nodes, room.

rights   can this process write, read and delete in the run folder, and read the data?
nodes    does every node see the same files, run the same code, and have the same libraries?
room     is the cluster large enough, or may it grow to be (placement.py)?
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from p2i_ray.cluster import node_checks, placement
from p2i_ray.cluster.node_checks import NodeQuestions, Probe
from p2i_ray.cluster.resources import Phase
from p2i_ray.errors import UserError, reason
from p2i_ray.storage import folders, locations
from p2i_ray.storage.bucket_errors import unanswered, unanswered_line
from p2i_ray.storage.disk_full import REMEDY, is_disk_full

PROBE = ".p2i-probe-"


def check_rights(*folders: str) -> None:
    """Write, read and delete a small file in each folder; a folder that didn't exist doesn't exist afterwards either.

    Raises:
        UserError: that doesn't work; the line says why.
    """
    for folder in map(locations.absolute, folders):
        try:
            with _probing(folder) as probe:
                found = locations.read_text(probe.file)
        except UserError:
            raise
        except Exception as error:  # each bucket's client has errors of its own
            raise UserError(
                _passing(folder, error)
                or f"can't write, read and delete files in {folder}: {reason(error)}; give a folder with the rights"
            ) from None
        if found != probe.content:
            raise UserError(f"{folder} doesn't give back what was written to it; is there a cache before it?")


def check_readable(*places: str) -> None:
    """Check that each location can be read, if it exists.

    Raises:
        UserError: the rights are lacking, or the store doesn't answer.
    """
    for location in places:
        try:
            locations.exists(location)
            witness(location)
        except UserError:
            raise
        except Exception as error:  # each bucket's client has errors of its own
            raise UserError(
                _passing(location, error) or f"can't read {location}: {reason(error)}; check the rights"
            ) from None


def _passing(location: str, error: Exception) -> str | None:
    """The line for a full disk or a bucket that doesn't answer; none: rights are lacking."""
    if is_disk_full(error):
        return f"no room is left on the disk of {location}; {REMEDY}"
    why = unanswered(error) if locations.is_uri(location) else None
    return None if why is None else unanswered_line(location, why)


def check(phases: Sequence[Phase], writes: Sequence[str] = (), reads: Sequence[str] = ()) -> None:
    """Check the cluster that this process has joined: its nodes, later nodes when they come, and its room.

    Args:
        phases: resources that are held at the same time; see resources.py.
        writes: folders that every node must write to and read from.
        reads: files and folders that every node must read.

    Raises:
        UserError: something would make the run fail; the line says what, where, and what to do.
    """
    check_nodes = functools.partial(
        _check_new_nodes, [locations.absolute(one) for one in writes], [locations.absolute(one) for one in reads]
    )
    check_nodes()
    placement.check(phases)
    placement.on_new_nodes(check_nodes)


def _check_new_nodes(writes: Sequence[str], reads: Sequence[str]) -> None:
    """Compare every node that hasn't been checked with the driver's."""
    others = node_checks.unchecked()
    if not others:
        return
    with ExitStack() as stack:
        probes = [stack.enter_context(_probing(folder)) for folder in writes]
        node_checks.compare(others, NodeQuestions(probes, [seen for location in reads if (seen := witness(location))]))


@contextmanager
def _probing(folder: str) -> Iterator[Probe]:
    """Write a small new file in a folder for the block; the folder is removed, too, if it didn't exist before."""
    there = locations.exists(folder)
    probe = Probe(folder, locations.join(folder, f"{PROBE}{uuid.uuid4().hex}"), uuid.uuid4().hex)
    try:
        locations.write_text(probe.file, probe.content)
        yield probe
    finally:
        locations.remove(probe.file)
        if not there and not locations.is_uri(folder) and Path(folder).exists():
            Path(folder).rmdir()


def witness(location: str, depth: int = 2) -> tuple[str, int] | None:
    """A file that stands for a location, and its size in bytes: the location itself, or the first file below it."""
    found = locations.kind(location)
    if found is None:
        return None
    filesystem, path = locations.open_location(location)
    if found == "file":
        return location, int(filesystem.size(path))
    for name, entry in sorted(folders.entries(location).items(), key=lambda named: named[1]["type"] != "file"):
        inside = locations.join(location, name)
        if entry["type"] == "file" and not name.startswith("."):
            return inside, int(entry["size"])
        if entry["type"] != "file" and depth and (below := witness(inside, depth - 1)):
            return below
    return None
