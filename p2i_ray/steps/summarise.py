"""Summarise: f_i = SUM(F(…), p_S), the text that sharpens the next selection."""

from __future__ import annotations

from p2i_ray.console.progress import say
from p2i_ray.run.manifests import Counts
from p2i_ray.run.step_table import FEEDBACK
from p2i_ray.steps.round import Output, Round
from p2i_ray.storage import locations


def summarise(this: Round, critiques: Output) -> str:
    """Sum up a round's critiques as one feedback text.

    It is empty with idr.feedback=false; idr.given_feedback takes its place.
    """
    if not FEEDBACK.wanted(this.run.config, this.number):
        return ""

    def work(out: str) -> Counts:
        given = this.run.config.idr.given_feedback
        feedback = given or this.judge.summarise(critiques.location, critiques.files)
        locations.write_text(out, feedback)
        return Counts(rows_in=critiques.rows, rows_out=1, facts={"feedback": feedback})

    feedback = str(this.once(FEEDBACK, work).manifest.facts["feedback"])
    say(f"{this.title(FEEDBACK)} {feedback}")
    return feedback
