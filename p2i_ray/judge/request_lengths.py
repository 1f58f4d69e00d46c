"""Lengths of the judge's requests, in tokens, compared with judge.max_model_len before an engine starts.

The longest request of each kind is made as it will be, with the longest names and the largest pictures, and counted by
the model's own processor. The reply is counted with it, and where a reason or comment may be cut, the question that
follows: judge.max_model_len has to hold all of that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from string import Template
from typing import NamedTuple, Protocol

import numpy as np

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.data import images
from p2i_ray.judge.requests import flaws
from p2i_ray.judge.requests.comparison import ComparisonTask
from p2i_ray.judge.requests.exemplars import MAX_EXEMPLARS
from p2i_ray.judge.requests.prompts import (
    Exemplar,
    Message,
    Prompt,
    load_comparison,
    load_prompts,
    rest_messages,
    summary_messages,
)
from p2i_ray.judge.requests.tasks import CritiqueTask, JudgeTask, ScoreTask, clean_name, image_part

# Width by height of pictures with so long a side: tiles, and small ones that are enlarged, cost by their shape.
SHAPES = ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 6), (6, 1), (1, 16), (16, 1))
COMMON_NAME = "soft grey cotton blanket with white stripes "  # repeated, where no data say how long names are
SPACED = 1  # a token that SentencePiece's models may write before the digit
CHOSEN = "idr.exemplars"
GIVEN = "judge.exemplars"


class Asked(NamedTuple):
    """The requests that a job is going to make.

    Attributes:
        names: of products, the longest of the data; empty: names of judge.max_name_chars in common words.
        exemplars: c_R of the settings.
        chosen: number of exemplars that rounds choose for the next ones.
        feedback: f as given.
        later_feedback: whether rounds are to get feedback of the judge's own.
        critiques: whether pictures are criticised, and critiques summed up.
        prompt: asked in place of p_R.
        compared: whether pictures are compared in pairs.
    """

    names: Sequence[str] = ()
    exemplars: Sequence[Exemplar] = ()
    chosen: int = 0
    feedback: str = ""
    later_feedback: bool = False
    critiques: bool = False
    prompt: Prompt | None = None
    compared: bool = False


class Length(NamedTuple):
    """The longest request of a kind, in tokens.

    Attributes:
        kind: what is asked, for people.
        pictures: how many pictures it has.
        picture_tokens: of all of them.
        name_tokens: of the sample's name.
        text_tokens: of everything else in the prompt, with the exemplars' names and scores.
        reply_tokens: of the longest reply, and of the question for what it lacks where it is cut.
        exemplars: how many of the pictures are exemplars.
        from_setting: the setting that gives those.
    """

    kind: str
    pictures: int
    picture_tokens: int
    name_tokens: int
    text_tokens: int
    reply_tokens: int
    exemplars: int = 0
    from_setting: str = ""

    @property
    def tokens(self) -> int:
        """All of them: what judge.max_model_len must hold."""
        return self.picture_tokens + self.name_tokens + self.text_tokens + self.reply_tokens


class Counter(Protocol):
    """Tokens, or at least so many."""

    def count(self, messages: Sequence[Message]) -> int:
        """Of a chat up to where its reply begins."""
        ...

    def count_picture(self, encoded: bytes) -> int:
        """Of a picture alone."""
        ...

    def count_text(self, text: str) -> int:
        """Of a text alone."""
        ...


class Measure:
    """Measures requests.

    Attributes:
        square_tokens: of a square picture of image.resolution.
        most_tokens: of the picture with so long a side that has the most, by its shape.

    Args:
        settings: the judge's; the model is a folder.
        image: size of pictures.
        counter: counts as that model does.

    Raises:
        CountError: the counter can't take a picture.
    """

    def __init__(self, settings: JudgeConfig, image: ImageConfig, counter: Counter) -> None:
        self.settings, self._counter = settings, counter
        self._prompts = load_prompts(settings.prompts, settings.reasoned, settings.show_cutout)
        pictures = [_grey(shape, image.resolution) for shape in SHAPES]
        self._picture = max(pictures, key=self._counter.count_picture)
        self.square_tokens, self.most_tokens = map(self._counter.count_picture, (pictures[0], self._picture))

    def lengths(self, asked: Asked) -> list[Length]:
        """The longest request of each kind that is going to be asked."""
        names = self.longest_names(asked.names)[: 1 + MAX_EXEMPLARS]
        asked = asked._replace(names=names)
        lengths = [*self._scores(asked), *(self._critiques(names) if asked.critiques else ())]
        if asked.compared:
            task = ComparisonTask(load_comparison())
            lengths.append(self._asked("comparison", task, names[0], "", second=self._picture))
        return lengths

    def score(self, asked: Asked, shown: Sequence[Exemplar], setting: str = "") -> Length:
        """The longest request for a score after these exemplars."""
        task = ScoreTask(
            asked.prompt or self._prompts.score,
            asked.feedback or ("feedback" if asked.later_feedback else ""),
            tuple(shown),
            max_reason_tokens=self.settings.max_reason_tokens if self.settings.reasoned else None,
        )
        verdict = json.dumps({"reason": "", "score": 5})
        found = self._asked("score (R)", task, self.longest_names(asked.names)[0], verdict)
        more = self.settings.max_summary_tokens if asked.later_feedback and not asked.feedback else 0
        return found._replace(
            text_tokens=found.text_tokens + more, exemplars=len(shown), from_setting=setting if shown else ""
        )

    def stand_ins(self, number: int, names: Sequence[str]) -> list[Exemplar]:
        """As many exemplars with the longest names, for those that rounds will choose: without reasons, as they are."""
        longest = self.longest_names(names)
        return [
            Exemplar(name=longest[place % len(longest)], image_part=image_part(self._picture), score=3)
            for place in range(number)
        ]

    def summary(self, comments: int) -> Length:
        """SUM's request with so many comments, each as long as it may be; not every prompt shows comments."""
        if "critiques" not in Template(self._prompts.summary.user).get_identifiers():
            comments = 0
        known = flaws.names(self.settings.flaws)
        tally = "\n".join(f"{flaw}: 100 %" for flaw in known)
        lines = "\n".join("- " for _ in range(comments))
        prompt = self._counter.count(summary_messages(self._prompts.summary, tally, lines))
        prompt += comments * self.settings.max_reason_tokens
        return Length(
            "summary (SUM)",
            pictures=0,
            picture_tokens=0,
            name_tokens=0,
            text_tokens=prompt,
            reply_tokens=self.settings.max_summary_tokens,
        )

    def longest_names(self, names: Sequence[str]) -> list[str]:
        """Names as prompts have them, those with the most tokens first."""
        most = self.settings.max_name_chars
        found = {cleaned for name in names if (cleaned := clean_name(name, most))}
        return sorted(found, key=self._counter.count_text, reverse=True) or [
            (COMMON_NAME * (most // len(COMMON_NAME) + 1))[:most].rstrip()
        ]

    def _scores(self, asked: Asked) -> Iterator[Length]:
        # Rounds that choose exemplars for the next show the given ones in the first alone, which has no feedback.
        yield self.score(
            asked._replace(later_feedback=asked.later_feedback and not asked.chosen), asked.exemplars, GIVEN
        )
        if asked.chosen:
            yield self.score(asked, self.stand_ins(asked.chosen, asked.names), CHOSEN)

    def _critiques(self, names: Sequence[str]) -> Iterator[Length]:
        settings = self.settings
        task = CritiqueTask(self._prompts.critique, settings.max_reason_tokens, settings.flaws)
        verdict = json.dumps({"comment": "", "flaws": flaws.names(settings.flaws)})
        yield self._asked("critique (F)", task, names[0], verdict)
        yield self.summary(0)

    def _asked(self, kind: str, task: JudgeTask, name: str, verdict: str, *, second: bytes | None = None) -> Length:
        count, shown = self._counter.count, second or (self._picture if self.settings.show_cutout else None)
        request = task.request(name, self._picture, shown)
        prompt, texts = count(request.messages), count(_without_pictures(request.messages))
        nameless = count(_without_pictures(task.request("", self._picture, shown).messages))
        reply = request.max_tokens
        if request.choice:
            reply += SPACED
        else:  # asked once more where the reason or comment is cut
            rest = count(_without_pictures(rest_messages(request.messages, "…")))
            reply += rest - texts + self._counter.count_text(verdict)
        pictures = sum(part["type"] == "image" for message in request.messages for part in message["content"])
        return Length(
            kind,
            pictures=pictures,
            picture_tokens=prompt - texts,
            name_tokens=texts - nameless,
            text_tokens=nameless,
            reply_tokens=reply,
        )


def _without_pictures(messages: Sequence[Message]) -> list[Message]:
    return [{**turn, "content": [part for part in turn["content"] if part["type"] != "image"]} for turn in messages]


def _grey(shape: tuple[int, int], side: int) -> bytes:
    width, height = (max(1, side * length // max(shape)) for length in shape)
    return images.encode_png(np.full((height, width, 3), 127, np.uint8))
