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

from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests import exemplars as given_exemplars
from p2i_ray.run.folder import Run
from p2i_ray.steps.audit import audit
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


def refine(run: Run, data: str, judge: Judge, held_out: Judge | None = None) -> str:
    """Run Algorithm 1; returns the location of M_R. Safe to call again on a run that was interrupted.

    Args:
        run: the run.
        data: location of the EPBD folder.
        judge: R, F and SUM.
        held_out: another judge, which only looks at what is painted; where evaluate.judge names one.
    """
    settings = run.config.idr
    model, feedback = locations.absolute(run.config.diffusion.base), ""
    kept: Output | None = None  # none: the whole training split
    exemplars = given_exemplars.from_settings(run.config.judge, run.config.image)
    if settings.baseline:
        before = Round(run, 0, data, judge, held_out=held_out)
        images = generate(before, model)
        measure(before, images)
        audit(before, images)
    calibrate(Round(run, 1, data, judge), exemplars)
    for number in range(1, settings.rounds + 1):
        this = Round(run, number, data, judge, held_out=held_out)
        if settings.select:
            scores = score(this, kept, feedback, exemplars)
            kept = select(this, scores)
            inspect(this, scores, kept, feedback=feedback, exemplars=exemplars)
            exemplars = choose_exemplars(this, scores, exemplars)
        features = encode(this)
        model = train(this, features, kept, model)
        if not settings.validates(number):
            continue
        images = generate(this, model)
        measure(this, images)
        if settings.judged:
            critiques = critique(this, images)
            feedback = summarise(this, critiques)
            audit(this, images, critiques)
    return model
