"""Changes that are allowed between two attempts at a run, and the record of them.

A step that is done is never taken for one that other settings or inputs would have made: such a change is refused,
and the line says from which step on the run can be done anew. What changes only steps to come is recorded:

    <run_dir>/changes.json   a list: what changed, when, and the first step that it applies to
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from p2i_ray.config import ChangedSetting, Config, Effect
from p2i_ray.errors import HURT, UserError
from p2i_ray.run.inputs import RunInputs
from p2i_ray.run.manifests import Manifest
from p2i_ray.run.step_table import BY_NAME, FEEDBACK, SCORE, SELECT, TRAIN, Key, depending_on, of_run, order_of
from p2i_ray.storage import locations

FILE = "changes.json"
Done = Mapping[Key, Manifest]  # the finished steps


class Conflict(NamedTuple):
    """A change that finished steps don't agree with."""

    what: str
    steps: list[Key]  # they, in the order of the run


class Change(NamedTuple):
    """A change that is recorded: from the step on, the run goes on with the new value."""

    what: str
    at: str  # UTC
    first: str | None  # the first step that it applies to, as "round 2 · train"; none: no step of the run


def of_settings(differing: Sequence[ChangedSetting], done: Done, config: Config) -> tuple[list[Conflict], list[Change]]:
    """Sort changed settings into those that finished steps don't agree with and those that are recorded.

    Args:
        differing: the settings that differ from those the run was last continued with.
        done: the finished steps.
        config: the new settings.
    """
    conflicts, recorded = [], []
    for one in differing:
        if one.effect is Effect.RUNTIME or (one.effect is Effect.CONTENT and _same_place(one)):
            continue
        if steps := _disagreeing(one, done, config):
            conflicts.append(Conflict(str(one), steps))
        else:
            recorded.append(Change(str(one), _now(), _first_to_come(one.key, done, config)))
    return conflicts, recorded


def of_inputs(inputs: RunInputs, done: Done, config: Config) -> list[Conflict]:
    """The inputs of finished steps that hold something else now.

    Raises:
        UserError: an input that a step to come needs isn't there.
    """
    inputs.look(name for number, step in of_run(config) if step.key(number) not in done for name in step.uses)
    users: dict[tuple[str, str], list[Key]] = {}  # by input and fingerprint
    for key in sorted(done, key=_place):
        for used in (done[key].inputs or {}).items():
            users.setdefault(used, []).append(key)
    return [
        Conflict(f"{inputs.shown(name)} holds something else", keys)
        for (name, recorded), keys in users.items()
        if inputs.is_another(name, recorded)
    ]


def check(run_dir: str, conflicts: Sequence[Conflict], done: Done, ways_out: str | None = None) -> None:
    """Refuse to go on with conflicts with finished steps.

    Args:
        run_dir: location of the run folder.
        conflicts: they.
        done: the finished steps.
        ways_out: what the line says to do (none: what somebody can do whose run it is).

    Raises:
        UserError: there are some; the line names them and the ways out.
    """
    if not conflicts:
        return
    shown = "; ".join(f"{one.what}, used by {title(one.steps[0])}" for one in conflicts[:3])
    more = f"; and {len(conflicts) - 3} more" if len(conflicts) > 3 else ""
    first = ",".join(
        f"{number}/{step}" for number, step in _earliest({key for one in conflicts for key in one.steps}, done)
    )
    own = (
        "change it back, give another run_dir, or have those steps and what follows from them done anew with "
        f"--redo-from {first}"
    )
    raise UserError(f"{run_dir} has finished steps that were made otherwise: {shown}{more}; {ways_out or own}")


def title(key: Key) -> str:
    """A step in messages: "round 2 · train"."""
    return f"round {key[0]} · {key[1]}"


def read(run_dir: str) -> list[dict[str, Any]]:
    """The record of a run's changes, the oldest first; empty where there were none.

    Raises:
        UserError: the file holds something else.
    """
    location = locations.join(run_dir, FILE)
    if not locations.exists(location):
        return []
    try:
        found = json.loads(locations.read_bytes(location))
    except ValueError:
        raise UserError(f"{location} is no record of changes; {HURT}") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(f"{location} is no record of changes; {HURT}")
    return found


def record(run_dir: str, changes: Sequence[Change]) -> None:
    """Add changes to the record."""
    before = read(run_dir)
    known = {(one.get("what"), one.get("first")) for one in before}  # of an attempt that was killed while it recorded
    new = [one._asdict() for one in changes if (one.what, one.first) not in known]
    if new:
        locations.write_text(locations.join(run_dir, FILE), json.dumps([*before, *new], indent=1, ensure_ascii=False))


def redone(steps: str, keys: Sequence[Key]) -> Change:
    """The record of finished steps that are done anew."""
    return Change(f"--redo-from {steps}", _now(), title(keys[0]) if keys else None)


def dependents(first: Collection[Key], among: Collection[Key]) -> list[Key]:
    """Those of some steps that are among the first, or read their output, directly or not; in the order of the run."""
    found: dict[Key, None] = {}
    for key in sorted(among, key=_place):  # a step reads only what comes before it
        number, name = key
        needs = BY_NAME[name].needs(number) if name in BY_NAME else []
        if key in first or any(need in found for need in needs):
            found[key] = None
    return list(found)


def touches(one: ChangedSetting, key: Key) -> bool:
    """Whether a changed setting makes a step's result another."""
    if one.key == "idr.rounds":
        return False
    if one.key == "idr.steps" and _steps_of(one.old, key) == _steps_of(one.new, key):
        return False
    return key[1] in {step.name for step in depending_on(one.key)}


def _disagreeing(one: ChangedSetting, done: Done, config: Config) -> list[Key]:
    """The finished steps that a changed setting would have made otherwise, and that must not stay."""
    if one.key == "idr.rounds":
        return sorted((key for key in done if key[0] > one.new), key=_place)
    if one.key == "idr.gamma":  # a round is selected with the gamma that its scores were asked for with
        begun = [key for key in done if key[1] == SCORE.name and SELECT.key(key[0]) not in done]
        return [key for key in begun if config.judge.cascade.clip or FEEDBACK.key(key[0] - 1) in done]
    if one.effect is Effect.ADJUSTABLE and one.key != "idr.steps":
        return []
    steps = sorted((key for key in done if touches(one, key)), key=_place)
    if one.effect is Effect.CONTENT:  # where fingerprints are recorded, they tell; see of_inputs
        return [key for key in steps if done[key].inputs is None]
    return steps


def _steps_of(steps: Sequence[int], key: Key) -> int | None:
    """The entry of idr.steps for a training."""
    number, name = key
    return steps[number - 1] if name == TRAIN.name and number <= len(steps) else None


def _first_to_come(setting: str, done: Done, config: Config) -> str | None:
    names = {step.name for step in depending_on(setting)}
    to_come = (step.key(number) for number, step in of_run(config) if step.key(number) not in done)
    return next((title(key) for key in to_come if key[1] in names), None)


def _same_place(one: ChangedSetting) -> bool:
    """Whether two spellings name one place: a final slash, a dot, ~."""
    return bool(one.old and one.new) and locations.absolute(one.old) == locations.absolute(one.new)


def _earliest(keys: Collection[Key], done: Done) -> Iterator[Key]:
    """The steps of which the others follow."""
    covered: set[Key] = set()
    for key in sorted(keys, key=_place):
        if key not in covered:
            yield key
            covered.update(dependents([key], done))


def _place(key: Key) -> tuple[int, int]:
    return key[0], order_of(key[1])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
