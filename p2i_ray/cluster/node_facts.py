"""The facts that a node reports about itself: its versions, its p2i_ray, and what it can read and write.

node_checks sends this module's functions to the node by value: its p2i_ray may be another version, or absent. So
nothing here imports p2i_ray, and arguments and results are plain values.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec

PACKAGE = "p2i_ray"


def facts(
    libraries: Sequence[str], probes: Sequence[tuple[str, str, str]], witnesses: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """This node's facts, as the arguments of node_checks.NodeFacts.

    Args:
        libraries: distributions whose versions are asked for.
        probes: (folder, file in it, its content) to read, and to write and delete another file beside.
        witnesses: (file, its size in bytes) to look at.
    """
    code, digest = package_digest()
    unreadable, unwritable = unreadable_witnesses(witnesses), dict[str, str]()
    for folder, file, content in probes:
        missing, denied = try_probe(file, content)
        unreadable.update({folder: missing} if missing else {})
        unwritable.update({folder: denied} if denied else {})
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "code": code,
        "digest": digest,
        "versions": versions(libraries),
        "unreadable": unreadable,
        "unwritable": unwritable,
    }


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """Versions of those libraries that are installed."""
    found = {}
    for name in libraries:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def package_digest() -> tuple[str, str]:
    """The folder that p2i_ray is imported from, and a SHA-256 over its code and presets; empty without one."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return "", ""
    root, total = Path(next(iter(spec.submodule_search_locations))), hashlib.sha256()
    for file in sorted(file for kind in ("*.py", "*.yaml") for file in root.rglob(kind)):
        total.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return str(root), total.hexdigest()


def unreadable_witnesses(witnesses: Sequence[tuple[str, int]]) -> dict[str, str]:
    """The locations among (file, size) at which this node doesn't see that file, with the reason."""
    found = {}
    for location, size in witnesses:
        try:
            filesystem, path = _opened(location)
            if filesystem.size(path) != size:
                found[location] = "it is another file there"
        except Exception as error:  # each bucket's client has errors of its own
            found[location] = short_reason(error)
    return found


def try_probe(file: str, content: str) -> tuple[str | None, str | None]:
    """Reasons why a file can't be read with that content, and why none beside it can be written; none: it can."""
    try:
        filesystem, path = _opened(file)
        if filesystem.cat_file(path).decode() != content:
            return "it is another folder there", None
    except Exception as error:
        return short_reason(error), None
    own = f"{path}-{uuid.uuid4().hex}"
    try:
        filesystem.pipe_file(own, content.encode())
        filesystem.rm_file(own)
    except Exception as error:
        return None, short_reason(error)
    return None, None


def _opened(location: str) -> tuple[Any, str]:
    """The file system of a path or URI, which asks the store every time; the same as storage.locations opens."""
    protocol = location.partition("://")[0] if "://" in location else "file"
    store = fsspec.get_filesystem_class(protocol)
    filesystem = fsspec.filesystem(protocol, use_listings_cache=False, **store._get_kwargs_from_urls(location))
    return filesystem, str(store._strip_protocol(location))


def short_reason(error: Exception) -> str:
    """The operating system's reason, or the error's class."""
    return getattr(error, "strerror", None) or type(error).__name__
