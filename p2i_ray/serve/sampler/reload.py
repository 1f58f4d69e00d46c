"""A model folder that may be replaced while its model is in use: looked at now and then, loaded when it has changed.

`runs.Run.publish` and plain copying write a folder file by file. So a change counts when two looks in a row have seen
the same files, when the new model loads and works, and when nothing has changed meanwhile. Else the old one stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from p2i_ray.storage import locations

LOGGER = logging.getLogger("ray.serve")
# What filesystems tell of a file that changes with its content: disks, object stores, memory.
SIGNS = ("size", "mtime", "ino", "ETag", "etag", "LastModified", "last_modified", "updated", "md5Hash", "created")

Model = TypeVar("Model")


class ReloadingModel(Generic[Model]):
    """A model, and the folder that it came from. Its methods block; one thread at a time."""

    def __init__(self, location: str, load: Callable[[str], Model]) -> None:
        """Load the model; raises what `load` raises."""
        self._location, self._load = location, load
        self._known = fingerprint(location)  # of the model in use, or of a folder that was refused
        self._seen = self._known
        self.model = load(location)

    def look(self) -> Model | None:
        """The new model, if there is one now; it is not `model` before `take` is called."""
        now = fingerprint(self._location)
        if now == self._known or now != self._seen or now is None:
            self._seen = now
            return None
        try:
            model = self._load(self._location)
        except Exception as error:  # nothing that is wrong with a new folder may end the old model's work
            LOGGER.warning("the new model is refused, the old one stays: %s: %s", type(error).__name__, error)
            model = None
        if fingerprint(self._location) != now:
            return None
        self._known = now
        return model

    def take(self, model: Model) -> None:
        """Use another model from now on."""
        self.model = model


def fingerprint(location: str) -> str | None:
    """What tells a folder's state from another, by its files' names, sizes and times; none: there is no such folder."""
    filesystem, path = locations.open_location(location)
    if hasattr(filesystem, "invalidate_cache"):
        filesystem.invalidate_cache()  # object stores' listings are remembered
    found = filesystem.find(path, detail=True)
    if not found:
        return None
    state = {
        name.removeprefix(path): {sign: str(entry[sign]) for sign in SIGNS if sign in entry}
        for name, entry in found.items()
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
