"""Algorithm 1: Iterative Data Refinement with a self-improved LMM. Read this file first.

    D_0 = the training split, f_0 = "" , M_0 = the base model
    for i = 1 … R:
        S_i = {x in D_{i-1} : R(x, p_R, c_R, f_{i-1}) >= gamma};  D_i = S_i      (Eq. 8)
        M_i = train(M_{i-1}, S_i)                                                (Eq. 5)
        I_dev = generate(M_i, D_dev)
        f_i = SUM(F(x_dev, I_dev, p_F), p_S)                                     (Eq. 7)

Each step is done once (run/folder.py): the same command after a kill skips what is finished. The judge, the diffusion
model and the evaluation don't know each other; here they meet, and hand on locations and counts, never rows. The steps
are in steps/, a verb a file; run/step_table.py lists them. What is done before its turn is steps/overlap/, which
observes the run and of which nothing is seen here.
"""

from __future__ import annotations

from p2i_ray.cluster import gpu_sharing
from p2i_ray.config import Config
from p2i_ray.errors import UserError
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests import exemplars as given_exemplars
from p2i_ray.run.folder import Run
from p2i_ray.steps.calibrate import calibrate
from p2i_ray.steps.critique import critique
from p2i_ray.steps.encode import encode
from p2i_ray.steps.exemplars import choose_exemplars
from p2i_ray.steps.generate import generate
from p2i_ray.steps.inspection import inspect
from p2i_ray.steps.measure import measure
from p2i_ray.steps.round import Output, Round
from p2i_ray.steps.score import score
from p2i_ray.steps.selection import select
from p2i_ray.steps.summarise import summarise
from p2i_ray.steps.train import train
from p2i_ray.storage import locations


def refine(run: Run, data: str, judge: Judge) -> str:
    """Run Algorithm 1; returns the location of M_R. Safe to call again on a run that was interrupted."""
    settings = run.config.idr
    model, feedback = locations.absolute(run.config.diffusion.base), ""
    kept: Output | None = None  # none: the whole training split
    exemplars = given_exemplars.from_settings(run.config.judge, run.config.image)
    if settings.baseline:
        before = Round(run, 0, data, judge)
        measure(before, generate(before, model))
    calibrate(Round(run, 1, data, judge), exemplars)
    for number in range(1, settings.rounds + 1):
        this = Round(run, number, data, judge)
        if settings.select:
            scores = score(this, kept, feedback, exemplars)
            kept = select(this, scores)
            inspect(this, scores, kept, feedback=feedback, exemplars=exemplars)
            exemplars = choose_exemplars(this, scores, exemplars)
        features = encode(this)
        model = train(this, features, kept, model)
        images = generate(this, model)
        measure(this, images)
        if settings.select:
            feedback = summarise(this, critique(this, images))
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
