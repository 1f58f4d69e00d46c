"""Go on with a run: compare settings and inputs with those of its finished steps, have steps done anew if asked to."""

from __future__ import annotations

from collections.abc import Sequence

from p2i_ray.config import ChangedSetting, Config, Effect, changed_settings
from p2i_ray.config.loading import dump
from p2i_ray.console.progress import say
from p2i_ray.errors import UserError
from p2i_ray.run import changes, lease, manifests, status
from p2i_ray.run.changes import Change, Done
from p2i_ray.run.inputs import RunInputs
from p2i_ray.run.manifests import Manifest
from p2i_ray.run.step_table import BY_NAME, STEPS, Key, of_run
from p2i_ray.storage import folders, locations


def begin(run_dir: str, config: Config, inputs: RunInputs, redo_from: str | None) -> None:
    """Make a run folder; the arguments are those of `go_on`.

    Raises:
        UserError: the folder holds other things, an input isn't there, or there is nothing to do anew.
    """
    if redo_from:
        raise UserError(f"{run_dir} holds no run, of which steps could be done anew; leave out --redo-from")
    if locations.exists(run_dir) and not folders.is_empty(run_dir, lease.FILE):
        raise UserError(f"{run_dir} is not empty and holds no run; give another run_dir")
    inputs.look(name for _, step in of_run(config) for name in step.uses)
    locations.write_text(locations.join(run_dir, status.CONFIG), dump(config))


def go_on(run_dir: str, config: Config, inputs: RunInputs, redo_from: str | None) -> None:
    """Have a run go on with these settings and inputs.

    Args:
        run_dir: location of the run folder.
        config: the settings.
        inputs: what the steps use besides each other's output.
        redo_from: steps to do anew with all that follows from them, as in `steps_named` (none: none).

    Raises:
        UserError: finished steps were made otherwise, an input isn't there, a file is hurt, or there is no such step.
    """
    old = status.read_settings(run_dir)
    last = max(int(old["idr"].get("rounds", 0)), config.idr.rounds)
    differing = changed_settings(old, config)
    again = _to_redo(run_dir, config, redo_from, last) if redo_from else []
    if again and _is_begun(run_dir, str(redo_from)):  # the same command after an interruption
        done = finished(run_dir, last)
        conflicts, _ = _compare(differing, done, inputs=inputs, config=config)
        again = again if conflicts else []
    done = finished(run_dir, last, without=again)
    conflicts, recorded = _compare(differing, done, inputs=inputs, config=config)
    changes.check(run_dir, conflicts, done)
    if again:
        recorded.insert(0, _redo(run_dir, str(redo_from), again))
    _clear_unfinished(run_dir, config, done, differing)
    changes.record(run_dir, recorded)
    if differing:
        locations.write_text(locations.join(run_dir, status.CONFIG), dump(config))
    for change in recorded:
        say(f"{change.what}, {f'from {change.first} on' if change.first else 'which no step to come depends on'}")
    _tell_versions(done)


def check(run_dir: str, config: Config, inputs: RunInputs, ways_out: str) -> None:
    """Check that a run may go on with these settings and inputs, and leave it as it is; also a run that is done.

    Args:
        run_dir: location of the run folder.
        config: the settings.
        inputs: as of `go_on`.
        ways_out: what to do where it may not.

    Raises:
        UserError: finished steps were made otherwise, or an input isn't there.
    """
    old = status.read_settings(run_dir)
    done = finished(run_dir, max(int(old["idr"].get("rounds", 0)), config.idr.rounds))
    conflicts, _ = _compare(changed_settings(old, config), done, inputs=inputs, config=config)
    changes.check(run_dir, conflicts, done, ways_out)


def finished(run_dir: str, last: int, without: Sequence[Key] = ()) -> dict[Key, Manifest]:
    """The manifests of the finished steps up to a round, but for some."""
    found = {}
    for number in range(last + 1):
        steps = manifests.read(run_dir, number, without={name for one, name in without if one == number})
        found.update({(number, name): manifest for name, manifest in steps.items()})
    return found


def _to_redo(run_dir: str, config: Config, redo_from: str, last: int) -> list[Key]:
    """The steps to do anew: those that are named, and all of the run that follow from them, finished or not."""
    named = steps_named(run_dir, redo_from, last)
    there = {(number, name) for number in range(last + 1) for name in BY_NAME if _is_done(run_dir, number, name)}
    return changes.dependents(named, there | {step.key(number) for number, step in of_run(config)})


def _is_done(run_dir: str, number: int, name: str) -> bool:
    return locations.exists(manifests.location(run_dir, number, name))


def steps_named(run_dir: str, text: str, last: int) -> list[Key]:
    """The steps that a text names: "train" in the rounds that have it, "2/train" in one; several with commas between.

    Raises:
        UserError: there is no such step or round.
    """
    found = []
    for part in text.split(","):
        number, slash, name = part.strip().rpartition("/")
        if name not in BY_NAME or (slash and not (number.isdecimal() and int(number) <= last)):
            raise UserError(
                f"--redo-from {part.strip()}: there is no such step; give STEP or ROUND/STEP with one of "
                f"{', '.join(step.name for step in STEPS)} and a round up to {last}"
            )
        everywhere = (one for one in range(last + 1) if _is_done(run_dir, one, name))
        found += [(one, name) for one in ([int(number)] if slash else everywhere)]
    return found


def _compare(
    differing: Sequence[ChangedSetting], done: Done, *, inputs: RunInputs, config: Config
) -> tuple[list[changes.Conflict], list[Change]]:
    conflicts, recorded = changes.of_settings(differing, done, config)
    return [*conflicts, *changes.of_inputs(inputs, done, config)], recorded


def _redo(run_dir: str, steps: str, again: Sequence[Key]) -> Change:
    """Forget steps, the last one first: whenever this is interrupted, what is left is a run that stopped there."""
    there = [key for key in again if _is_done(run_dir, *key)]
    for number, name in reversed(there):
        locations.remove(manifests.location(run_dir, number, name))
    for number, name in again:
        _clear(run_dir, number, BY_NAME[name].unfinished)
    return changes.redone(steps, there)


def _is_begun(run_dir: str, steps: str) -> bool:
    """Whether these very steps were the last to be forgotten, and the run has not come to its end since."""
    redone = [one for one in changes.read(run_dir) if str(one.get("what", "")).startswith("--redo-from ")]
    if not redone or redone[-1]["what"] != changes.redone(steps, []).what:
        return False
    return not locations.exists(locations.join(run_dir, status.SUMMARY)) or (
        status.read_summary(run_dir).get("status") != "done"
    )


def _clear_unfinished(run_dir: str, config: Config, done: Done, differing: Sequence[ChangedSetting]) -> None:
    """Remove what interrupted steps would go on from, where they are to be done with other settings."""
    mattering = [one for one in differing if one.effect in (Effect.RESULT, Effect.ADJUSTABLE)]
    for number, step in of_run(config):
        key = step.key(number)
        if key not in done and any(changes.touches(one, key) for one in mattering):
            _clear(run_dir, number, step.unfinished)


def _clear(run_dir: str, number: int, unfinished: str | None) -> None:
    if unfinished:
        locations.remove(locations.join(manifests.folder(run_dir, number), unfinished))


def _tell_versions(done: Done) -> None:
    """Say which code the newest finished step was done with, if it was another one."""
    newest = max(done.values(), key=lambda manifest: manifest.began or 0, default=None)
    if newest is None or not newest.versions:
        return
    then, now = newest.versions, manifests.versions()
    others = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
    if others:
        shown = ", ".join(f"{name} {then.get(name, '-')} -> {now.get(name, '-')}" for name in others)
        say(f"this is other code than {changes.title((newest.round, newest.step))} was done with: {shown}")
