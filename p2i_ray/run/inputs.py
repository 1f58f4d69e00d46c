"""Inputs of a run besides its settings: data, models, prompts, exemplars; and whether they are still the same.

Each step's manifest holds the fingerprints of the inputs that it used. What was read to find them is remembered:

    <run_dir>/fingerprints.json   location -> size and times of a file, and the SHA-256 of its content
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from p2i_ray.errors import UserError
from p2i_ray.storage import fingerprints, locations
from p2i_ray.storage.fingerprints import ABSENT, FileState

FILE = "fingerprints.json"


class RunInput(NamedTuple):
    """Something that steps use and that lies outside the run folder."""

    name: str  # as manifests and messages call it: the setting that names it, or a part of that
    location: str | None = None  # of a file or folder; none: there is no such input
    text: str = ""  # what stands for it where it lies nowhere, as a hosted model's name


class RunInputs:
    """The inputs of a run and their fingerprints, which are found in the background.

    Args:
        run_dir: where the content that was read is remembered.
        inputs: all that the run's steps may use.
    """

    def __init__(self, run_dir: str, inputs: Sequence[RunInput] = ()) -> None:
        self._memory = locations.join(run_dir, FILE)
        self._inputs = {one.name: one for one in inputs}
        self._states: dict[str, list[FileState]] = {}
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()  # one reader of content at a time
        self._remembered: dict[str, tuple[str, str]] | None = None
        self._saved: dict[str, tuple[str, str]] = {}

    @property
    def names(self) -> set[str]:
        """The inputs' names."""
        return set(self._inputs)

    def look(self, names: Iterable[str]) -> None:
        """Take down what the stores say of inputs now: what is used from now on must stay so.

        Raises:
            UserError: one isn't there.
        """
        for name in dict.fromkeys(names):  # read in this order: first what the first steps use
            if name in self._inputs and name not in self._states and (location := self._inputs[name].location):
                if not locations.exists(location):
                    raise UserError(f"{self.shown(name)} is not there; check the path")
                self._states[name] = fingerprints.states(location)

    def begin(self) -> None:
        """Read in the background what isn't known of the inputs' content."""
        threading.Thread(target=self._read_all, name="fingerprints", daemon=True).start()

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """The fingerprints of inputs, by name; waits until they are found. Names that the run lacks are left out."""
        wanted = sorted(set(names) & self.names)
        self.look(wanted)
        return {name: self._fingerprint(name) for name in wanted}

    def is_another(self, name: str, recorded: str) -> bool:
        """Whether an input has another fingerprint than a recorded one; false where it isn't there to be looked at."""
        if name not in self._inputs:
            return False
        location = self._inputs[name].location
        if location is not None and name not in self._states and not locations.exists(location):
            return False
        now = self.of([name])[name]
        with self._lock:
            return not fingerprints.same(recorded, now, self._states.get(name, []), self._memory_of_content())

    def shown(self, name: str) -> str:
        """An input with its location, for messages."""
        location = self._inputs[name].location
        return f"{name} ({location})" if location else name

    def check_unchanged(self, names: Iterable[str]) -> None:
        """Check that inputs are what they were when this process first looked.

        Raises:
            UserError: one has changed meanwhile, or is gone.
        """
        for name in sorted(set(names) & self._states.keys()):
            location = self._inputs[name].location
            assert location is not None
            before, now = self._states[name], fingerprints.states(location)
            if fingerprints.signature(before) != fingerprints.signature(now) and self._differs(name, now):
                raise UserError(
                    f"{self.shown(name)} was changed while the run used it; put back what was there and give the same "
                    "command again, or give another run_dir"
                )

    def save(self) -> None:
        """Remember the content that was read for the next process."""
        with self._lock:
            if self._remembered and self._remembered != self._saved:
                self._saved = dict(self._remembered)
                locations.write_text(self._memory, json.dumps(self._remembered, indent=1))

    def _differs(self, name: str, now: list[FileState]) -> bool:
        """Whether content is another one, where times or places are; it counts as another where it wasn't read yet."""
        with self._lock:
            before = self._found.get(name)
            if before is None:
                return True
            if fingerprints.same(before, fingerprints.fingerprint(now, self._memory_of_content()), now, {}):
                self._states[name] = now
                return False
        return True

    def _fingerprint(self, name: str) -> str:
        one = self._inputs[name]
        if one.location is None:
            return f"name-{one.text}" if one.text else ABSENT
        with self._lock:
            if name not in self._found:
                found = self._states[name]
                content = fingerprints.fingerprint(found, self._memory_of_content())
                if fingerprints.signature(fingerprints.states(one.location)) != fingerprints.signature(found):
                    raise UserError(f"{self.shown(name)} changes while it is read; give the command again afterwards")
                self._found[name] = content
            return self._found[name]

    def _read_all(self) -> None:
        for name in list(self._states):
            try:
                self._fingerprint(name)
            except Exception:  # whoever needs it meets the same error in its turn
                return

    def _memory_of_content(self) -> dict[str, tuple[str, str]]:
        if self._remembered is None:
            self._remembered = _read(self._memory)
        return self._remembered


def _read(location: str) -> dict[str, tuple[str, str]]:
    """The fingerprints that were kept; empty where the file can't be read, since all can be found again."""
    if not locations.exists(location):
        return {}
    try:
        values = json.loads(locations.read_bytes(location))
        return {str(key): (str(marks), str(digest)) for key, (marks, digest) in values.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
