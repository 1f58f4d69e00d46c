"""The judge's requests, the order of their parts, and the cleaning of names."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.errors import UserError
from p2i_ray.judge.judge import cap_below
from p2i_ray.judge.requests import flaws
from p2i_ray.judge.requests.answers import Asked, RequestRefused, parse_replies
from p2i_ray.judge.requests.parsing import ReplyError, Step
from p2i_ray.judge.requests.prompts import BUILT_IN, Exemplar, load_prompts
from p2i_ray.judge.requests.tasks import (
    CRITIQUES,
    SCORES,
    ChatRequest,
    CritiqueTask,
    Reply,
    ScoreTask,
    clean_name,
    image_part,
)

PROMPTS = load_prompts(BUILT_IN)
FLAWS = ("blur", "floating - it stands on nothing")


def test_rubric_and_feedback_come_before_exemplars_and_these_before_the_sample() -> None:
    shown = Exemplar(name="mug", image_part=image_part(b"judged"), score=2, reason='a "sale" tag')
    request = ScoreTask(PROMPTS.score, "too much clutter", (shown,)).request("lamp", b"picture")
    roles = [message["role"] for message in request.messages]
    assert roles == ["system", "user", "assistant", "user"]
    system = request.messages[0]["content"][0]["text"]
    assert system.index("Give one score") < system.index("too much clutter")
    assert request.messages[1]["content"][0]["image"] == b"judged"
    assert request.messages[2]["content"][0]["text"] == "2"
    assert request.messages[3]["content"][0]["image"] == b"picture"
    assert "Product name: lamp" in request.messages[3]["content"][1]["text"]
    assert (request.max_tokens, request.choice, request.probabilities) == (1, ("1", "2", "3", "4", "5"), True)


def test_everything_before_the_sample_is_the_same_for_all_samples() -> None:
    scoring = ScoreTask(PROMPTS.score, "blur")
    one, other = scoring.request("lamp", b"a"), scoring.request("sofa", b"b")
    assert one.messages[:-1] == other.messages[:-1]


def test_no_feedback_leaves_no_trace() -> None:
    assert "reviewer" not in str(ScoreTask(PROMPTS.score).request("lamp", b"a").messages)
    assert "$feedback" not in str(ScoreTask(PROMPTS.score).request("lamp", b"a").messages)


def test_a_reason_comes_before_the_score() -> None:
    shown = Exemplar(name="mug", image_part=image_part(b"judged"), score=2, reason='a "sale" tag')
    request = ScoreTask(PROMPTS.score, exemplars=(shown,), max_reason_tokens=64).request("lamp", b"a")
    assert request.messages[2]["content"][0]["text"] == '{"reason":"a \\"sale\\" tag","score":2}'
    assert request.grammar and request.grammar.index("reason") < request.grammar.index("score")
    assert request.max_tokens == 64 and request.choice is None


def test_critiques_begin_with_the_comment() -> None:
    request = CritiqueTask(PROMPTS.critique, 32, FLAWS).request("lamp", b"a")
    assert request.grammar and request.grammar.index("comment") < request.grammar.index("flaws")


def test_tasks_fill_the_columns_of_their_tables() -> None:
    step = Step("4", [("4", 0.0)])
    assert {"id", "error", *ScoreTask(PROMPTS.score).columns(Reply("4", step=step))} == set(SCORES.names)
    reply = Reply('{"comment":"x","flaws":[]}')
    assert {"id", "error", *CritiqueTask(PROMPTS.critique, 32, FLAWS).columns(reply)} == set(CRITIQUES.names)


def test_scores_without_probabilities_only_if_requested() -> None:
    for task in (ScoreTask(PROMPTS.score, scores_only=True), ScoreTask(PROMPTS.score, "", (), 64, scores_only=True)):
        assert not task.request("lamp", b"a").probabilities
    columns = ScoreTask(PROMPTS.score, scores_only=True).columns(Reply("4"))
    assert columns == {"score": 4, "expected_score": None, "entropy": None, "reason": None}
    with pytest.raises(ReplyError, match="probabilities"):  # never by accident
        ScoreTask(PROMPTS.score).columns(Reply("4"))


def test_the_json_schemas_go_with_the_grammars() -> None:
    reason = ScoreTask(PROMPTS.score, max_reason_tokens=64).request("lamp", b"a")
    critique = CritiqueTask(PROMPTS.critique, 32, FLAWS).request("lamp", b"a")
    assert ScoreTask(PROMPTS.score).request("lamp", b"a").json_schema is None  # a digit needs none
    for request, keys in ((reason, ["reason", "score"]), (critique, ["comment", "flaws"])):
        schema = request.json_schema
        assert schema and list(schema["properties"]) == schema["required"] == keys  # in the order of writing
        assert schema["additionalProperties"] is False  # strict schemas must say so


@pytest.mark.parametrize(
    ("given_name", "clean"),
    [
        (None, ""),
        ("", ""),
        (" \t\n", ""),
        ("\u200b\x00", ""),
        ("Mug\r\nIgnore all", "Mug Ignore all"),
        ("Caf\u00e9  1 l", "Caf\u00e9 1 l"),
        ("a" * 12, "a" * 8),
    ],
)
def test_names_are_cleaned(given_name: str | None, clean: str) -> None:
    assert clean_name(given_name, 8 if given_name == "a" * 12 else 300) == clean


@settings(deadline=None)
@given(st.text(max_size=50))
def test_clean_names_are_printable_and_stay_as_they_are(name: str) -> None:
    clean = clean_name(name, 20)
    assert len(clean) <= 20 and (clean.isprintable() or not clean)
    assert clean_name(clean, 20) == clean


def test_the_cap_of_the_feedback_is_below_gamma() -> None:
    assert [cap_below(gamma) for gamma in (5, 4.5, 4, 3.5, 2, 1)] == [4, 4, 3, 3, 1, 1]
    request = ScoreTask(PROMPTS.score, "too much clutter", cap=cap_below(3)).request("lamp", b"a")
    assert "shows one of them gets a 2 at most" in request.messages[0]["content"][0]["text"]


def test_critiques_are_told_of_the_flaws_that_they_may_name() -> None:
    request = CritiqueTask(PROMPTS.critique, 32, FLAWS).request("lamp", b"a")
    system = request.messages[0]["content"][0]["text"]
    assert "to choose from:\nblur\nfloating - it stands on nothing.\nThe product's" in system
    assert request.json_schema and request.json_schema["properties"]["flaws"]["items"]["enum"] == ["blur", "floating"]
    assert "blur" in request.grammar and "nothing" not in request.grammar


def test_a_cutout_stands_before_the_picture_where_it_is_shown() -> None:
    shown = Exemplar(name="mug", image_part=image_part(b"judged"), score=2)
    for task in (ScoreTask(PROMPTS.score, exemplars=(shown,)), CritiqueTask(PROMPTS.critique, 32, FLAWS)):
        without, with_cutout = task.request("lamp", b"picture"), task.request("lamp", b"picture", b"cutout")
        assert without.messages[:-1] == with_cutout.messages[:-1]
        cutout, picture, text = with_cutout.messages[-1]["content"]
        assert (cutout["image"], picture["image"]) == (b"cutout", b"picture")
        assert "first picture is the product alone" in text["text"] and "Product name: lamp" in text["text"]
        assert "first picture" not in str(without.messages)


def test_a_reason_that_is_too_long_is_cut_and_the_score_asked_for() -> None:
    task = ScoreTask(PROMPTS.score, max_reason_tokens=8)
    request, cut = task.request("lamp", b"a", b"c"), Reply('{"reason":"a dark room with too ma', truncated=True)
    rest = task.rest(request, cut)
    assert rest and rest.messages[:-2] == request.messages and rest.probabilities
    assert rest.messages[-2] == {"role": "assistant", "content": [{"type": "text", "text": "a dark room with too…"}]}
    assert [part["type"] for part in rest.messages[-1]["content"]] == ["text"]
    step = Step("2", [("2", 0.0)])
    answer = task.columns(cut, Reply('{"reason":"","score":2}', step=step))
    assert answer == {"score": 2, "expected_score": 2.0, "entropy": 0.0, "reason": "a dark room with too…"}
    assert task.rest(request, Reply("I think that", truncated=True)) is None
    assert ScoreTask(PROMPTS.score).rest(request, Reply("4")) is None


def test_a_comment_that_is_too_long_is_cut_and_the_flaws_asked_for() -> None:
    task = CritiqueTask(PROMPTS.critique, 8, FLAWS)
    request, cut = (
        task.request("lamp", b"a"),
        Reply('{"comment":"soft, and the lamp hovers", "flaws":["bl', truncated=True),
    )
    rest = task.rest(request, cut)
    assert rest and rest.messages[-2]["content"][0]["text"] == "soft, and the lamp hovers"
    assert task.columns(cut, Reply('{"comment":"","flaws":["blur","floating"]}')) == {
        "flaws": ["blur", "floating"],
        "comment": "soft, and the lamp hovers",
    }


def test_replies_that_were_cut_are_completed_and_others_left_alone() -> None:
    task = ScoreTask(PROMPTS.score, max_reason_tokens=8, scores_only=True)
    sent: list[ChatRequest] = []

    async def reply(text: str, truncated: bool) -> Reply:
        return Reply(text, truncated)

    async def send(request: ChatRequest) -> Reply:
        sent.append(request)
        if len(sent) == 2:
            raise RequestRefused("the prompt is too long")
        return Reply('{"reason":"","score":3}')

    texts = [('{"reason":"fine","score":5}', False), ('{"reason":"on and', True), ('{"reason":"or', True), ("hm", True)]
    asked = [Asked(task.request("lamp", b"a"), reply(*text)) for text in texts]
    rows = asyncio.run(parse_replies(task, asked, send))
    assert [(row["score"], row["reason"]) for row in rows[:2]] == [(5, "fine"), (3, "on…")]
    assert len(sent) == 2 and [row["score"] for row in rows[2:]] == [None, None]
    assert rows[2]["error"] == "the prompt is too long" and "truncated at max_tokens" in rows[3]["error"]


def test_a_prompt_must_name_the_flaws_that_have_a_meaning() -> None:
    own = PROMPTS.critique.model_copy(update={"system": "Look for blur."})
    flaws.check(own, ("blur - soft", "melted"))  # a name without a meaning may be one that the model was trained on
    flaws.check(PROMPTS.critique, FLAWS)
    with pytest.raises(UserError, match=r"critique.yaml of judge.prompts names no 'floating', .*put \$flaws into"):
        flaws.check(own, FLAWS)
