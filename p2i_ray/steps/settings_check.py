"""Find settings of a run that don't fit together, from the settings alone."""

from __future__ import annotations

from p2i_ray.cluster import gpu_sharing
from p2i_ray.config import Config, LoopConfig
from p2i_ray.errors import UserError


def check(config: Config) -> None:
    """Find settings that don't fit together before anything is started.

    Raises:
        UserError: there are fewer step counts than rounds, rows would be ranked by what isn't known of them, settings
            of a control contradict each other, or GPUs can't be shared.
    """
    gpu_sharing.with_shared_gpus(config)
    _check_controls(config.idr)
    if len(config.idr.steps) < config.idr.rounds:
        raise UserError(
            f"idr.steps has {len(config.idr.steps)} numbers for idr.rounds={config.idr.rounds}; give one a round"
        )
    judged = config.idr.judged  # scores that are given are as good as expected ones
    if judged and config.judge.cascade.clip and config.idr.ranks:
        raise UserError(
            "idr.keep_fraction and idr.keep_rows rank rows, and judge.cascade.clip scores some by a head that only "
            "learns gamma; use idr.gamma, or no cascade"
        )
    expected = config.idr.threshold_on == "expected_score" or config.idr.ranks or config.idr.exemplars
    if judged and config.judge.hosted.url and not config.judge.hosted.logprobs and expected:
        raise UserError(
            "idr.threshold_on=expected_score, idr.keep_fraction, idr.keep_rows and idr.exemplars need expected scores, "
            "which judge.hosted.logprobs=false gives up; use idr.threshold_on=score with idr.gamma"
        )


def _check_controls(settings: LoopConfig) -> None:
    if settings.keep_rows is not None and len(settings.keep_rows) < settings.rounds:
        raise UserError(
            f"idr.keep_rows has {len(settings.keep_rows)} numbers for idr.rounds={settings.rounds}; give one a round"
        )
    if settings.keep_rows is not None and settings.keep_fraction is not None:
        raise UserError("idr.keep_rows and idr.keep_fraction both say how many rows are kept; set one to null")
    if settings.given_scores is not None and not settings.select:
        raise UserError("idr.given_scores is for selecting, which idr.select=false turns off; leave one out")
    if settings.given_feedback is not None and not (settings.judged and settings.feedback):
        raise UserError(
            "idr.given_feedback is for the judge's prompt; it needs idr.select=true, idr.feedback=true and no "
            "idr.given_scores"
        )
