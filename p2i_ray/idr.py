"""THE LOOP: Iterative Data Refinement with a self-improved LMM, Algorithm 1. Read this file first.

    D_0 = the training split, f_0 = "" , M_0 = the base model
    for i = 1 … R:
        S_i = {x in D_{i-1} : R(x, p_R, c_R, f_{i-1}) >= gamma};  D_i = S_i      (Eq. 8)
        M_i = train(M_{i-1}, S_i)                                                (Eq. 5)
        I_dev = paint(M_i, D_dev)
        f_i = SUM(F(x_dev, I_dev, p_F), p_S)                                     (Eq. 7)

Each step is done once (runs.py): the same command after a kill skips what is finished. The judge, the painter and
the ruler don't know each other; here they meet, and pass locations and counts, never rows.
"""

from __future__ import annotations

import json

from p2i_ray import storage
from p2i_ray.config import Config
from p2i_ray.epbd import reading
from p2i_ray.lmm.judge import Judge
from p2i_ray.progress import phase, say
from p2i_ray.runs import Counts, Manifest, Run
from p2i_ray.sink import Written


def refine(run: Run, data: str, judge: Judge) -> str:
    """Algorithm 1; returns the location of M_R. Safe to call again on a run that was interrupted."""
    settings = run.config.idr
    model, feedback, candidates = storage.absolute(run.config.painter.base), "", None
    if settings.baseline:
        paint(run, 0, data, model)
        measure(run, 0, data)
    for number in range(1, settings.rounds + 1):
        if settings.select:
            score(run, number, data, candidates, feedback, judge)
            candidates = select(run, number)
        judge.release()
        model = train(run, number, data, candidates, model)
        paint(run, number, data, model)
        measure(run, number, data)
        if settings.select:
            criticise(run, number, judge)
            feedback = summarise(run, number, judge) if settings.feedback else ""
    return model


def score(run: Run, number: int, data: str, candidates: str | None, feedback: str, judge: Judge) -> Manifest:
    """R(x, p_R, c_R, f_{i-1}) for every x of D_{i-1}."""
    total = run_rows(run, number - 1) if candidates else reading.count(data, "train")

    def work(out: str) -> Counts:
        rows = reading.read_split(data, "train", keep=candidates)
        with phase(title(run, number, "score"), total) as progress:
            return counts(total, judge.score(rows, out, feedback, progress))

    return run.once(number, "score", "scores", work)


def select(run: Run, number: int) -> str:
    """S_i, and with it D_i: the location of the kept rows' ids."""
    from p2i_ray import selection

    scored = finished(run, number, "score")

    def work(out: str) -> Counts:
        kept = selection.select(run.path(number, "scores"), scored.files, run.config.idr, out)
        return Counts(rows_in=scored.rows_out, rows_out=kept)

    manifest = run.once(number, "select", "kept.parquet", work)
    say(f"{title(run, number, 'select')} keeps {manifest.rows_out} of {manifest.rows_in} rows")
    return run.path(number, "kept.parquet")


def train(run: Run, number: int, data: str, kept: str | None, previous: str) -> str:
    """M_i: goes on from M_{i-1} with S_i; the location of the new model folder."""
    from p2i_ray.diffusion import training

    encoded = encode(run, data, kept)
    steps = run.config.idr.steps[number - 1]
    work_folder = run.path(number, "train")

    def work(out: str) -> Counts:
        with phase(title(run, number, "train"), steps, "steps") as progress:
            facts = training.train(
                run.path(1, "features"), encoded.files, kept, previous, run.config.painter, run.config.train, steps,
                storage.seed_for(run.config.seed, "train", number), out, work_folder, progress,
            )  # fmt: skip
        return Counts(rows_in=run_rows(run, number) or encoded.rows_out, facts=facts)

    run.once(number, "train", "checkpoint", work)
    storage.remove(work_folder)  # the finished model replaces the checkpoints it grew from
    return run.path(number, "checkpoint")


def encode(run: Run, data: str, kept: str | None) -> Manifest:
    """Features of the rows of S_1, once: later rounds train on subsets of them."""
    from p2i_ray.diffusion import features

    total = run_rows(run, 1) or reading.count(data, "train")

    def work(out: str) -> Counts:
        rows = reading.read_split(data, "train", keep=kept)
        with phase(title(run, 1, "encode"), total) as progress:
            config = run.config
            return counts(total, features.encode(rows, config.painter, config.features, config.image, out, progress))

    return run.once(1, "encode", "features", work)


def paint(run: Run, number: int, data: str, model: str) -> Manifest:
    """I_dev: every product of D_dev with a background by M_i."""
    from p2i_ray.diffusion import generate

    config, split = run.config, run.config.idr.dev_split
    total = reading.count(data, split)

    def work(out: str) -> Counts:
        rows = reading.read_split(data, split)
        with phase(title(run, number, "generate"), total) as progress:
            written = generate.generate(
                rows, model, config.generate, config.image, config.painter.token, config.seed, out, progress
            )
        return counts(total, written)

    return run.once(number, "generate", "generated", work)


def measure(run: Run, number: int, data: str) -> Manifest:
    """The ruler's figures for I_dev."""
    from p2i_ray.evaluate import measure as ruler

    painted = finished(run, number, "generate")

    def work(out: str) -> Counts:
        real = reading.read_split(data, run.config.idr.dev_split)
        figures = ruler.measure(
            run.path(number, "generated"), painted.files, real, run.config.evaluate, run.config.image
        )
        storage.write_text(out, json.dumps(figures, indent=1))
        return Counts(rows_in=painted.rows_out, rows_out=painted.rows_out, facts=dict(figures))

    return run.once(number, "measure", "metrics.json", work)


def criticise(run: Run, number: int, judge: Judge) -> Manifest:
    """F(x_dev, I_dev, p_F) for every painted picture."""
    painted = finished(run, number, "generate")

    def work(out: str) -> Counts:
        rows = reading.read_files(run.path(number, "generated"), painted.files)
        with phase(title(run, number, "critique"), painted.rows_out) as progress:
            return counts(painted.rows_out, judge.critique(rows, out, progress))

    return run.once(number, "critique", "critiques", work)


def summarise(run: Run, number: int, judge: Judge) -> str:
    """f_i = SUM(F(…), p_S): the text that sharpens the next selection."""
    critiques = finished(run, number, "critique")

    def work(out: str) -> Counts:
        feedback = judge.summarise(run.path(number, "critiques"), critiques.files)
        storage.write_text(out, feedback)
        return Counts(rows_in=critiques.rows_out, rows_out=1, facts={"feedback": feedback})

    manifest = run.once(number, "feedback", "feedback.txt", work)
    feedback = str(manifest.facts["feedback"])
    say(f"{title(run, number, 'feedback')} {feedback}")
    return feedback


def finished(run: Run, number: int, step: str) -> Manifest:
    """The manifest of a step that must have run."""
    manifest = run.done(number, step)
    assert manifest is not None, f"step {step} of round {number} has not run"
    return manifest


def run_rows(run: Run, number: int) -> int | None:
    """|S_i|, if that selection was made."""
    manifest = run.done(number, "select")
    return manifest.rows_out if manifest else None


def counts(rows_in: int | None, written: Written) -> Counts:
    """A written folder as a step's counts."""
    return Counts(
        rows_in=rows_in or written.rows, rows_out=written.rows, set_aside=written.set_aside, files=written.files
    )


def title(run: Run, number: int, step: str) -> str:
    """What the progress line calls a step."""
    return f"round {number}/{run.config.idr.rounds} · {step}"


def check(config: Config) -> None:
    """Find settings that don't fit together before anything is started.

    Raises:
        UserError: there are fewer step counts than rounds.
    """
    from p2i_ray.errors import UserError

    if len(config.idr.steps) < config.idr.rounds:
        raise UserError(
            f"idr.steps has {len(config.idr.steps)} numbers for idr.rounds={config.idr.rounds}; give one a round"
        )
