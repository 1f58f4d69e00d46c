"""Hot reload of a model folder: checked at intervals, loaded when it has changed.

Publishing and plain copying write a folder file by file. So a change counts only when two checks in a row have seen the
same files, when the new model loads and works, and when nothing has changed meanwhile. Else the old model stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from p2i_ray.storage import folders

LOGGER = logging.getLogger("ray.serve")
# File attributes that change with the content: of disks, object stores, memory.
ATTRIBUTES = ("size", "mtime", "ino", "ETag", "etag", "LastModified", "last_modified", "updated", "md5Hash", "created")

Model = TypeVar("Model")


class ReloadingModel(Generic[Model]):
    """A model and the folder that it came from. Its methods block; call them from one thread at a time."""

    def __init__(
        self, location: str, load: Callable[[str], Model], on_change: Callable[[str], None] | None = None
    ) -> None:
        """Load the model; raise what `load` raises.

        Args:
            location: of the model folder.
            load: loads it.
            on_change: called with "loaded" or "refused" when a changed folder was loaded, or kept from use.
        """
        self._location, self._load = location, load
        self._on_change = on_change or _ignore
        self._known = fingerprint(location)  # of the model in use, or of a folder that was refused
        self._seen = self._known
        self.model = load(location)

    def poll(self) -> Model | None:
        """Load and return the new model, if there is one; it becomes `model` when `use` is called."""
        now = fingerprint(self._location)
        if now == self._known or now != self._seen or now is None:
            self._seen = now
            return None
        model, refusal = None, None
        try:
            model = self._load(self._location)
        except Exception as error:  # a bad new folder must not end the old model's work
            refusal = error
        if fingerprint(self._location) != now:
            return None
        self._known = now
        self._on_change("loaded" if refusal is None else "refused")
        if refusal is not None:
            why = f"{type(refusal).__name__}: {refusal}"
            LOGGER.warning("the new model is refused, the old one stays: %s", why)
        return model

    def use(self, model: Model) -> None:
        """Use another model from now on."""
        self.model = model


def _ignore(outcome: str) -> None:
    """Tell nobody."""


def fingerprint(location: str) -> str | None:
    """A digest of the names, sizes and times of a folder's files; none: there is no such folder."""
    found = folders.entries_below(location)
    if not found:
        return None
    state = {name: {key: str(entry[key]) for key in ATTRIBUTES if key in entry} for name, entry in found.items()}
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
