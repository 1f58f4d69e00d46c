"""Studies without pictures, and raters' files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from p2i_ray.evaluate.study.study import Criterion, Method, Picture, Question, Study

APPEAL, QUALITY = "visual appeal", "overall quality"


def small_study(products: int = 2, criteria: tuple[str, ...] = (APPEAL, QUALITY)) -> Study:
    """`ours` against `lama`: one question (q0, q1, …) a product; `ours` is left in the even ones."""
    pictures, questions = {}, {}
    for number in range(products):
        for method in ("ours", "lama"):
            pictures[f"{method}{number}"] = Picture(product=f"p{number}", method=method)
        sides = ("ours", "lama") if number % 2 == 0 else ("lama", "ours")
        questions[f"q{number}"] = Question(left=f"{sides[0]}{number}", right=f"{sides[1]}{number}")
    return Study(
        id="abc",
        title="Which?",
        criteria=[Criterion(name=name, question=f"{name}?") for name in criteria],
        methods=[Method(name=name, evaluated=f"/runs/{name}", model=f"/models/{name}") for name in ("ours", "lama")],
        pairs=[("ours", "lama")],
        products={f"p{number}": f"Cup {number}" for number in range(products)},
        pictures=pictures,
        questions=questions,
        asked={},
    )


def prefer(study: Study, question: str, method: str | None) -> str:
    """The choice that prefers a method in a question; None: no difference."""
    return "none" if method is None else ("left", "right")[study.sides(question).index(method)]


def votes_file(
    folder: Path,
    study: Study,
    rater: str,
    choose: Callable[[str, str], str | None],
    /,
    *,
    name: str | None = None,
    **changed: Any,
) -> Path:
    """Write a rater's file; `choose` gives the preferred method of a question and a criterion."""
    votes = [
        {"question": question, "criterion": one.name, "choice": prefer(study, question, choose(question, one.name))}
        for question in study.questions
        for one in study.criteria
    ]
    content: Mapping[str, Any] = {
        "format": "study-votes",
        "version": 1,
        "study": study.id,
        "rater": rater,
        "votes": votes,
        **changed,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name or rater}.json"
    file.write_text(json.dumps(content))
    return file
