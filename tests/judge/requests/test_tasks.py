"""The judge's requests, the order of their parts, and the cleaning of names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.judge.requests.parsing import ReplyError, Step
from p2i_ray.judge.requests.prompts import BUILT_IN, Exemplar, load_prompts
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES, CritiqueTask, Reply, ScoreTask, clean_name, image_part

PROMPTS = load_prompts(BUILT_IN)


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
    request = CritiqueTask(PROMPTS.critique, 32).request("lamp", b"a")
    assert request.grammar and request.grammar.index("comment") < request.grammar.index("flaws")


def test_tasks_fill_the_columns_of_their_tables() -> None:
    step = Step("4", [("4", 0.0)])
    assert {"id", "error", *ScoreTask(PROMPTS.score).columns(Reply("4", step=step))} == set(SCORES.names)
    reply = Reply('{"comment":"x","flaws":[]}')
    assert {"id", "error", *CritiqueTask(PROMPTS.critique, 32).columns(reply)} == set(CRITIQUES.names)


def test_scores_without_probabilities_only_if_requested() -> None:
    for task in (ScoreTask(PROMPTS.score, scores_only=True), ScoreTask(PROMPTS.score, "", (), 64, scores_only=True)):
        assert not task.request("lamp", b"a").probabilities
    columns = ScoreTask(PROMPTS.score, scores_only=True).columns(Reply("4"))
    assert columns == {"score": 4, "expected_score": None, "entropy": None, "reason": None}
    with pytest.raises(ReplyError, match="probabilities"):  # never by accident
        ScoreTask(PROMPTS.score).columns(Reply("4"))


def test_the_json_schemas_go_with_the_grammars() -> None:
    reason = ScoreTask(PROMPTS.score, max_reason_tokens=64).request("lamp", b"a")
    critique = CritiqueTask(PROMPTS.critique, 32).request("lamp", b"a")
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
