"""Calibrate: check once a run whether the judge can be trusted. A warning, never a stop."""

from __future__ import annotations

from p2i_ray.console.progress import say
from p2i_ray.data import reading
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import CALIBRATE
from p2i_ray.steps.round import Exemplars, Round


def calibrate(first: Round, exemplars: Exemplars) -> None:
    """Compare the judge with gold scores, or check it on a sample, as the settings say; do nothing if they don't."""
    from p2i_ray.judge.calibration import calibrate as calibration

    config = first.run.config
    if not CALIBRATE.wanted(config, first.number):
        return

    def work(out: str) -> Counts:
        rows = reading.read_split(first.data, "train", columns=[*first.judge.columns, "category"])
        with first.progress(CALIBRATE, None, "replies") as progress:
            facts = calibration.calibrate(
                first.judge,
                rows,
                settings=config.calibration,
                gamma=config.idr.gamma,
                seed=config.seed,
                image=config.image,
                out=out,
                exemplars=exemplars,
                threshold_on=config.idr.threshold_on,
                progress=progress,
            )
        return Counts(facts=facts)

    facts = first.once(CALIBRATE, work).manifest.facts
    for check in calibration.Calibration.model_validate(facts).failed:
        say(f"{first.title(CALIBRATE)} doubtful: {check.verdict}")
