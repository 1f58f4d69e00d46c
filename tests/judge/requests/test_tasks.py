"""What the judge is asked, in which order, and how names are cleaned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.judge.requests.parsing import ReplyError, Step
from p2i_ray.judge.requests.prompts import BUILT_IN, Exemplar, load_prompts
from p2i_ray.judge.requests.tasks import CRITIQUES, SCORES, CritiqueTask, Reply, ScoreTask, clean_name, image_part

PROMPTS = load_prompts(BUILT_IN)


def test_rubric_and_feedback_stand_before_exemplars_and_these_before_the_sample() -> None:
    shown = Exemplar(name="mug", image_part=image_part(b"judged"), score=2, reason='a "sale" tag')
    question = ScoreTask(PROMPTS.score, "too much clutter", (shown,)).question("lamp", b"picture")
    roles = [message["role"] for message in question.messages]
    assert roles == ["system", "user", "assistant", "user"]
    system = question.messages[0]["content"][0]["text"]
    assert system.index("Give one score") < system.index("too much clutter")
    assert question.messages[1]["content"][0]["image"] == b"judged"
    assert question.messages[2]["content"][0]["text"] == "2"
    assert question.messages[3]["content"][0]["image"] == b"picture"
    assert "Product name: lamp" in question.messages[3]["content"][1]["text"]
    assert (question.max_tokens, question.choice, question.probabilities) == (1, ("1", "2", "3", "4", "5"), True)


def test_everything_before_the_sample_is_the_same_for_all_samples() -> None:
    scoring = ScoreTask(PROMPTS.score, "blur")
    one, other = scoring.question("lamp", b"a"), scoring.question("sofa", b"b")
    assert one.messages[:-1] == other.messages[:-1]


def test_no_feedback_leaves_no_trace() -> None:
    assert "reviewer" not in str(ScoreTask(PROMPTS.score).question("lamp", b"a").messages)
    assert "$feedback" not in str(ScoreTask(PROMPTS.score).question("lamp", b"a").messages)


def test_a_reason_is_asked_for_before_the_score() -> None:
    shown = Exemplar(name="mug", image_part=image_part(b"judged"), score=2, reason='a "sale" tag')
    question = ScoreTask(PROMPTS.score, exemplars=(shown,), max_reason_tokens=64).question("lamp", b"a")
    assert question.messages[2]["content"][0]["text"] == '{"reason":"a \\"sale\\" tag","score":2}'
    assert question.form and question.form.index("reason") < question.form.index("score")
    assert question.max_tokens == 64 and question.choice is None


def test_critiques_comment_first() -> None:
    question = CritiqueTask(PROMPTS.critique, 32).question("lamp", b"a")
    assert question.form and question.form.index("comment") < question.form.index("flaws")


def test_askers_fill_the_columns_of_their_tables() -> None:
    step = Step("4", [("4", 0.0)])
    assert {"id", "error", *ScoreTask(PROMPTS.score).columns(Reply("4", step=step))} == set(SCORES.names)
    reply = Reply('{"comment":"x","flaws":[]}')
    assert {"id", "error", *CritiqueTask(PROMPTS.critique, 32).columns(reply)} == set(CRITIQUES.names)


def test_scores_without_probabilities_are_asked_for_by_name_only() -> None:
    for asker in (ScoreTask(PROMPTS.score, scores_only=True), ScoreTask(PROMPTS.score, "", (), 64, scores_only=True)):
        assert not asker.question("lamp", b"a").probabilities
    columns = ScoreTask(PROMPTS.score, scores_only=True).columns(Reply("4"))
    assert columns == {"score": 4, "expected_score": None, "entropy": None, "reason": None}
    with pytest.raises(ReplyError, match="probabilities"):  # never by accident
        ScoreTask(PROMPTS.score).columns(Reply("4"))


def test_the_json_schemas_go_with_the_grammars() -> None:
    reason = ScoreTask(PROMPTS.score, max_reason_tokens=64).question("lamp", b"a")
    critique = CritiqueTask(PROMPTS.critique, 32).question("lamp", b"a")
    assert ScoreTask(PROMPTS.score).question("lamp", b"a").json_schema is None  # a digit needs none
    for question, keys in ((reason, ["reason", "score"]), (critique, ["comment", "flaws"])):
        schema = question.json_schema
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
