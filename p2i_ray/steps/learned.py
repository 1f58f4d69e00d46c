"""Guidance that a finished run's judge has learned, to stand beside the run's model; see judge.guidance."""

from __future__ import annotations

from p2i_ray.judge import guidance
from p2i_ray.judge.guidance import Guidance
from p2i_ray.judge.judge import cap_below
from p2i_ray.judge.requests import exemplars
from p2i_ray.run import manifests
from p2i_ray.run.folder import Run
from p2i_ray.run.step_table import EXEMPLARS, FEEDBACK
from p2i_ray.steps.exemplars import FILE
from p2i_ray.storage import locations


def files_of(run: Run) -> dict[str, bytes]:
    """The files of a run's last feedback and exemplars, by their paths in the model's folder; none: no judge selected.

    The exemplars are those that the last round chose for a next one, or those of the settings.
    """
    config = run.config
    if not config.idr.judged:
        return {}
    rounds = {number: manifests.read(run.dir, number) for number in range(1, config.idr.rounds + 1)}
    summed = [number for number, steps in rounds.items() if FEEDBACK.name in steps]
    chosen = [number for number, steps in rounds.items() if EXEMPLARS.name in steps]
    shown = exemplars.from_settings(config.judge, config.image)
    if chosen:
        location = locations.join(run.path(chosen[-1], EXEMPLARS.output), FILE)
        shown = exemplars.read(location, config.image, config.judge.max_name_chars)
    feedback = str(rounds[summed[-1]][FEEDBACK.name].facts["feedback"]) if summed else ""
    learned = Guidance(
        feedback=feedback,
        cap=cap_below(config.idr.gamma),
        judge=guidance.short_name(config.judge.model),
        round=summed[-1] if summed else 0,
    )
    return guidance.files(learned, shown)
