"""THE LOOP: Iterative Data Refinement with a self-improved LMM, Algorithm 1. Read this file first.

    D_0 = the training split, f_0 = "" , M_0 = the base model
    for i = 1 … R:
        S_i = {x in D_{i-1} : R(x, p_R, c_R, f_{i-1}) >= gamma};  D_i = S_i      (Eq. 8)
        M_i = train(M_{i-1}, S_i)                                                (Eq. 5)
        I_dev = paint(M_i, D_dev)
        f_i = SUM(F(x_dev, I_dev, p_F), p_S)                                     (Eq. 7)

Each step is done once (runs.py): the same command after a kill skips what is finished. The judge, the painter and
the ruler don't know each other; here they meet, and pass locations and counts, never rows. The steps themselves are
in steps/.
"""

from __future__ import annotations

from p2i_ray.cluster import gpu_sharing
from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests import exemplars
from p2i_ray.run.folder import Run
from p2i_ray.steps import ahead
from p2i_ray.steps.judging import calibrate, criticise, inspect, score, select, show, summarise
from p2i_ray.steps.measuring import Measuring
from p2i_ray.steps.painting import paint, train
from p2i_ray.storage import locations


def refine(run: Run, data: str, judge: Judge) -> str:
    """Algorithm 1; returns the location of M_R. Safe to call again on a run that was interrupted."""
    settings = run.config.idr
    model, feedback, candidates = locations.absolute(run.config.diffusion.base), "", None
    shown = exemplars.given(run.config.judge, run.config.image)
    figures = Measuring(run, data)
    ahead.reserve(run, judge)
    if settings.baseline:
        ahead.start_engines(run, 0, judge)
        paint(run, 0, data, model)
        figures.begin(0)
    if settings.select:
        calibrate(run, data, shown, judge)
    figures.finish(0)
    for number in range(1, settings.rounds + 1):
        if settings.select:
            with ahead.encoding(run, number, data):
                score(run, number, data, candidates, feedback, shown, judge)
                candidates = select(run, number)
                inspect(run, number, data, feedback, shown, judge)
            shown = show(run, number, data, shown)
        figures.finish(number - 1)
        ahead.make_way(run, number, judge)
        model = train(run, number, data, candidates, model)
        with ahead.criticising(run, number, judge):
            paint(run, number, data, model)
        figures.begin(number)
        if settings.select:
            criticise(run, number, judge)
            feedback = summarise(run, number, judge) if settings.feedback else ""
    figures.finish(settings.rounds)
    return model


def check(config: Config) -> None:
    """Find settings that don't fit together before anything is started.

    Raises:
        UserError: there are fewer step counts than rounds, rows would be ranked by what isn't known of them, or GPUs
            can't be shared.
    """
    gpu_sharing.with_shared_gpus(config)
    if len(config.idr.steps) < config.idr.rounds:
        raise UserError(
            f"idr.steps has {len(config.idr.steps)} numbers for idr.rounds={config.idr.rounds}; give one a round"
        )
    if config.judge.cascade.clip and config.idr.keep_fraction:
        raise UserError(
            "idr.keep_fraction ranks rows, and judge.cascade.clip scores some by a head that only learns gamma; "
            "use idr.gamma, or no cascade"
        )
    expected = config.idr.threshold_on == "expected_score" or config.idr.keep_fraction or config.idr.exemplars
    if config.judge.hosted.url and not config.judge.hosted.logprobs and expected:
        raise UserError(
            "idr.threshold_on=expected_score, idr.keep_fraction and idr.exemplars need expected scores, which "
            "judge.hosted.logprobs=false gives up; use idr.threshold_on=score with idr.gamma"
        )
