"""The judge's steps of the loop: calibrate, score, select, show, inspect, criticise, summarise."""

from __future__ import annotations

from p2i_ray.console.progress import say
from p2i_ray.data import reading
from p2i_ray.judge.judge import Judge
from p2i_ray.judge.requests import exemplars
from p2i_ray.judge.requests.prompts import Exemplar
from p2i_ray.run.folder import Counts, Manifest, Run
from p2i_ray.steps import exemplar_rows
from p2i_ray.steps.common import counts, finished, run_rows, title, working
from p2i_ray.storage import locations

Exemplars = tuple[Exemplar, ...]  # c_R


def calibrate(run: Run, data: str, shown: Exemplars, judge: Judge) -> None:
    """Whether the judge can be trusted; a warning, never a stop."""
    from p2i_ray.judge.calibration import calibrate as calibration

    config = run.config
    if not config.calibration.rows and not config.calibration.gold:
        return

    def work(out: str) -> Counts:
        rows = reading.read_split(data, "train", columns=["id", "name", "category", "image"])
        with working(run, 1, "calibrate", None, "replies") as progress:
            facts = calibration.calibrate(
                judge, rows, config.calibration, config.idr.gamma, config.seed, config.image, out, shown,
                config.idr.threshold_on, progress,
            )  # fmt: skip
        return Counts(facts=facts)

    facts = run.once(1, "calibrate", "calibration", work).facts
    for check in calibration.Calibration.model_validate(facts).failed:
        say(f"{title(run, 1, 'calibrate')} doubtful: {check.verdict}")


def score(
    run: Run, number: int, data: str, candidates: str | None, feedback: str, shown: Exemplars, judge: Judge
) -> Manifest:
    """R(x, p_R, c_R, f_{i-1}) for every x of D_{i-1}."""
    total = run_rows(run, number - 1) if candidates else reading.count(data, "train")

    def work(out: str) -> Counts:
        rows = reading.read_split(data, "train", keep=candidates)
        with working(run, number, "score", total) as progress:
            settings = run.config.idr
            written = judge.score(rows, out, feedback, progress, shown, settings.gamma, settings.threshold_on)
        return counts(total, written)

    return run.once(number, "score", "scores", work)


def select(run: Run, number: int) -> str:
    """S_i, and with it D_i: the location of the kept rows' ids."""
    from p2i_ray.steps import selection

    scored = finished(run, number, "score")

    def work(out: str) -> Counts:
        kept = selection.select(run.path(number, "scores"), scored.files, run.config.idr, out)
        return Counts(rows_in=scored.rows_out, rows_out=kept)

    manifest = run.once(number, "select", "kept.parquet", work)
    say(f"{title(run, number, 'select')} keeps {manifest.rows_out} of {manifest.rows_in} rows")
    return run.path(number, "kept.parquet")


def show(run: Run, number: int, data: str, shown: Exemplars) -> Exemplars:
    """c_R of the next round: the surest and the most doubtful of this one, if wanted; else what was shown before."""
    config = run.config
    if not config.idr.exemplars:
        return shown
    scored = finished(run, number, "score")

    def work(out: str) -> Counts:
        number_of = exemplar_rows.choose_from(data, run.path(number, "scores"), scored.files, config.idr.exemplars, out)
        return Counts(rows_in=scored.rows_out, rows_out=number_of)

    run.once(number, "exemplars", "exemplars", work)
    location = run.path(number, "exemplars", exemplar_rows.FILE)
    return exemplars.read(location, config.image, config.judge.max_name_chars)


def inspect(run: Run, number: int, data: str, feedback: str, shown: Exemplars, judge: Judge) -> None:
    """On a sample of D_{i-1}: which flaws the kept and the dropped show, and the scores without the feedback."""
    from p2i_ray.steps import inspection

    settings, scored = run.config.idr, finished(run, number, "score")
    if not settings.inspect:
        return

    def work(out: str) -> Counts:
        with working(run, number, "inspect", None, "replies") as progress:
            facts = inspection.inspect(
                judge, data, run.path(number), scored.files, settings, run.config.seed, bool(feedback), shown, out,
                progress,
            )  # fmt: skip
        return Counts(rows_in=scored.rows_out, rows_out=facts["rows"], facts=facts)

    run.once(number, "inspect", "inspection", work)


def criticise(run: Run, number: int, judge: Judge) -> Manifest:
    """F(x_dev, I_dev, p_F) for every painted picture."""
    painted = finished(run, number, "generate")

    def work(out: str) -> Counts:
        rows = reading.read_files(run.path(number, "generated"), painted.files)
        with working(run, number, "critique", painted.rows_out) as progress:
            return counts(painted.rows_out, judge.critique(rows, out, progress))

    return run.once(number, "critique", "critiques", work)


def summarise(run: Run, number: int, judge: Judge) -> str:
    """f_i = SUM(F(…), p_S): the text that sharpens the next selection."""
    critiques = finished(run, number, "critique")

    def work(out: str) -> Counts:
        feedback = judge.summarise(run.path(number, "critiques"), critiques.files)
        locations.write_text(out, feedback)
        return Counts(rows_in=critiques.rows_out, rows_out=1, facts={"feedback": feedback})

    manifest = run.once(number, "feedback", "feedback.txt", work)
    feedback = str(manifest.facts["feedback"])
    say(f"{title(run, number, 'feedback')} {feedback}")
    return feedback
