"""A study's content: study.json, the key to the raters' page, which they don't get."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from p2i_ray.errors import UserError
from p2i_ray.storage import locations

FILE = "study.json"
PAGE = "study.html"  # the only file for raters
PICTURES = "pictures"  # folder with the studied pictures, as data of the split SPLIT; a row's id is its picture's key
SPLIT = "test"


class Part(BaseModel):
    """A part of study.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Criterion(Part):
    """One thing that is asked about each pair."""

    name: str
    question: str


class Method(Part):
    """One side of the comparisons."""

    name: str
    evaluated: str  # out folder of its jobs/evaluate.py
    model: str  # that painted: method and location


class Picture(Part):
    """A product as painted by a method."""

    product: str  # its id
    method: str


class Question(Part):
    """A pair of pictures of one product, about which all criteria are asked."""

    left: str  # key of a picture
    right: str


class Study(Part):
    """The whole study. Keys and ids are random: a page says nothing about methods, also not with this code at hand."""

    version: Literal[1] = 1
    id: str
    title: str
    criteria: list[Criterion]
    methods: list[Method]
    pairs: list[tuple[str, str]]  # names of methods; figures are of the first against the second
    products: dict[str, str]  # id -> name
    pictures: dict[str, Picture]  # by key
    questions: dict[str, Question]  # by id
    asked: dict[str, Any]  # settings that it was made with

    @model_validator(mode="after")
    def _fits(self) -> Study:
        pairs = {frozenset(pair) for pair in self.pairs}
        for one in self.questions.values():
            if not {one.left, one.right} <= self.pictures.keys():
                raise ValueError("a question is about a picture that it does not have")
            left, right = self.pictures[one.left], self.pictures[one.right]
            if left.product != right.product or frozenset((left.method, right.method)) not in pairs:
                raise ValueError("a question's pictures are no pair of methods")
        return self

    def product(self, question: str) -> str:
        """The id of the product that a question is about."""
        return self.pictures[self.questions[question].left].product

    def sides(self, question: str) -> tuple[str, str]:
        """The methods of the left and of the right picture."""
        asked = self.questions[question]
        return self.pictures[asked.left].method, self.pictures[asked.right].method

    def pair(self, question: str) -> tuple[str, str]:
        """The pair of `pairs` that a question compares."""
        left, right = self.sides(question)
        return (left, right) if (left, right) in self.pairs else (right, left)

    def preferred(self, question: str, choice: str) -> str | None:
        """The method that a choice (left, none or right) prefers; none: no difference."""
        left, right = self.sides(question)
        return {"left": left, "none": None, "right": right}[choice]


def write(study: Study, folder: str) -> None:
    """Write study.json into a study's folder."""
    locations.write_text(locations.join(folder, FILE), study.model_dump_json(indent=1))


def read(folder: str) -> Study:
    """The study of a folder.

    Raises:
        UserError: there is none, or it can't be read.
    """
    location = locations.join(folder, FILE)
    if not locations.exists(location):
        raise UserError(f"{folder} has no {FILE}; give the out= folder of jobs/study.py")
    try:
        return Study.model_validate_json(locations.read_bytes(location))
    except ValidationError as error:
        raise UserError(f"{location} is no study: {error.errors()[0]['msg']}; restore it from a copy") from None
