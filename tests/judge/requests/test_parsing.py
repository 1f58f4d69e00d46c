"""Parsing of replies: hand-computed values, and arbitrary text."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2i_ray.judge.requests.constraints import critique_grammar, rating_grammar
from p2i_ray.judge.requests.parsing import (
    Critique,
    Rating,
    ReplyError,
    Step,
    digit_step,
    probabilities,
    read_critique,
    read_cut,
    read_reasoned_score,
    read_score,
)

FLAWS = ("wrong scene", "plain background", "text overlay", "clutter", "blur")
RATING_GRAMMAR, CRITIQUE_GRAMMAR = rating_grammar(), critique_grammar(FLAWS)
HALVES = Step("4", [("4", math.log(0.5)), ("2", math.log(0.25)), ("5", math.log(0.25))])


def test_score_expectation_and_entropy() -> None:
    rating = read_score("4", HALVES)
    assert rating.score == 4
    assert rating.expected_score == pytest.approx(4 * 0.5 + 2 * 0.25 + 5 * 0.25)  # 3.75
    assert rating.entropy == pytest.approx(1.5 * math.log(2))
    assert rating.reason is None


def test_probabilities_are_normalised_over_the_five_scores() -> None:
    unconstrained = Step(
        "3", [("3", math.log(0.3)), ("The", math.log(0.6)), ("1", math.log(0.1)), ("7", math.log(0.05))]
    )
    assert probabilities(unconstrained) == pytest.approx({1: 0.25, 2: 0, 3: 0.75, 4: 0, 5: 0})


def test_tokens_of_equal_text_are_added_up() -> None:
    spaced = Step(" 4", [(" 4", math.log(0.4)), ("4", math.log(0.4)), ("\u00a05", math.log(0.2))])
    assert probabilities(spaced) == pytest.approx({1: 0, 2: 0, 3: 0, 4: 0.8, 5: 0.2})
    glued = Step(':"3', [(':"3', math.log(0.9)), (':"5', math.log(0.1)), ("5", math.log(0.9))])
    assert probabilities(glued)[5] == pytest.approx(0.1)


def test_minus_infinity_is_no_probability() -> None:
    assert read_score("5", Step("5", [("5", 0.0), ("1", -math.inf)])) == Rating(5, 5.0, 0.0, None)


@pytest.mark.parametrize("text", ["6", "0", "", "4.5", "good", "44", "٤"])
def test_invalid_scores_are_errors(text: str) -> None:
    with pytest.raises(ReplyError, match="not a score"):
        read_score(text, HALVES)


def test_a_score_without_probabilities_is_an_error() -> None:
    with pytest.raises(ReplyError, match="probabilities"):
        read_score("4", None)
    with pytest.raises(ReplyError, match="probabilities"):
        read_score("4", Step("4", [("x", 0.0)]))


def test_scores_without_probabilities_are_read_if_requested() -> None:
    assert read_score("4", None, scores_only=True) == Rating(4, None, None, None)
    assert read_score("4", HALVES, scores_only=True) == Rating(
        4, None, None, None
    )  # probabilities of scores_only are ignored
    assert read_reasoned_score('{"reason":"x","score":2}', None, scores_only=True) == Rating(2, None, None, "x")
    with pytest.raises(ReplyError, match="not a score"):
        read_score("6", None, scores_only=True)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"comment":"x","flaws":[]}\n```',
        '```json {"comment":"x","flaws":[]}```',
        ' ```\n{"comment":"x","flaws":[]}``` \n',
    ],
)
def test_json_may_come_in_a_fence(text: str) -> None:
    assert read_critique(text, FLAWS) == Critique([], "x")


def test_the_score_of_a_reasoned_reply_is_at_its_last_digit() -> None:
    text = '{"reason":"2 cups, dull ","score":4}'
    pieces = ['{"', "reason", '":"', "2", " cups", ", dull ", '","', "score", '":', "4", "}", "<|im_end|>"]
    steps = [HALVES if piece == "4" else Step(piece, [(piece, 0.0)]) for piece in pieces]
    assert read_reasoned_score(text, digit_step(steps)) == Rating(
        4, pytest.approx(3.75), pytest.approx(1.5 * math.log(2)), "2 cups, dull"
    )


@pytest.mark.parametrize(
    "pieces",
    [
        ['{"', "score", '":', " ", "4", ',"', "reason", '":"', "2", " cups", '"}'],
        ['{"reason":"2 cups","score":', "4", ',"confidence":', "5", "}"],
        ['{"reason":"a \\"score\\": 2","', 'score"', ":", "▁4", "}"],
        ["```json", "\n", '{"reason":"x","score":', "4", "}", "```", " in 2 words"],
    ],
)
def test_the_score_s_probabilities_are_those_of_its_own_token(pieces: list[str]) -> None:
    half = math.log(0.5)
    steps = [Step(piece, [(piece, half), (re.sub("[0-9]", "3", piece), half)]) for piece in pieces]
    found = digit_step(steps)
    assert found is not None and found.token.strip("▁") == "4"
    text = '{"reason":"x","score":4}'
    assert read_reasoned_score(text, found) == Rating(4, pytest.approx(3.5), pytest.approx(math.log(2)), "x")


def test_probabilities_of_another_number_are_not_the_score_s() -> None:
    with pytest.raises(ReplyError, match=r"the probabilities of '2' came with the reply, not of its score 4"):
        read_reasoned_score('{"reason":"x","score":4}', Step("2", [("2", 0.0)]))


@pytest.mark.parametrize(
    "text",
    ['{"reason":"x","score":6}', '{"reason":"x","score":"4"}', '{"reason":"x","score":true}', '{"score":4}', "[]", "4"],
)
def test_a_reasoned_reply_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ReplyError):
        read_reasoned_score(text, HALVES)


def test_a_truncated_reply_is_named_as_such() -> None:
    with pytest.raises(ReplyError, match="truncated at max_tokens"):
        read_reasoned_score('{"reason":"on and on', None, truncated=True)
    with pytest.raises(ReplyError, match="is not JSON"):
        read_critique('{"comment":"on', FLAWS)


def test_critique_drops_duplicate_flaws() -> None:
    text = '{"comment":"kitchen, fits beach; text","flaws":["wrong scene","blur","wrong scene"]}'
    assert read_critique(text, FLAWS) == Critique(["wrong scene", "blur"], "kitchen, fits beach; text")


@pytest.mark.parametrize(
    "text",
    [
        '{"comment":"x","flaws":["ugly"]}',
        '{"comment":"x","flaws":"blur"}',
        '{"comment":1,"flaws":[]}',
        '{"comment":"x","flaws":[["blur"]]}',
    ],
)
def test_a_critique_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ReplyError):
        read_critique(text, FLAWS)


LOGS = st.floats(max_value=0, allow_nan=False)


@settings(deadline=None)
@given(st.sampled_from("12345"), LOGS, st.lists(st.tuples(st.text(max_size=4), LOGS)))
def test_any_alternatives_give_probabilities_or_an_error(
    written: str, log: float, others: list[tuple[str, float]]
) -> None:
    try:
        rating = read_score(written, Step(written, [(written, log), *others]))
    except ReplyError:
        assert log == -math.inf
        return
    assert 1 <= rating.expected_score <= 5 + 1e-9
    assert 0 <= rating.entropy <= math.log(5) + 1e-9


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(FLAWS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["reason", "score", "comment", "flaws"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.text() | JSON.map(json.dumps))
def test_no_reply_breaks_the_readers(text: str) -> None:
    for read in (
        lambda reply: read_critique(reply, FLAWS),
        lambda reply: read_reasoned_score(reply, HALVES),
        lambda reply: read_score(reply, HALVES),
    ):
        try:
            value = read(text)
        except ReplyError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(value, Rating | Critique)


@settings(deadline=None)
@given(st.lists(st.sampled_from(FLAWS)), st.text())
def test_a_critique_survives_the_way_there_and_back(flaws: list[str], comment: str) -> None:
    found = read_critique(json.dumps({"comment": comment, "flaws": flaws}), FLAWS)
    assert found.comment == comment.strip()
    assert set(found.flaws) == set(flaws) and len(found.flaws) == len(set(flaws))


@pytest.mark.parametrize(
    ("form", "text", "fits"),
    [
        (RATING_GRAMMAR, '{"reason":"a \\"sale\\" tag, caf\u00e9","score":4}', True),
        (RATING_GRAMMAR, '{"reason": "", "score": 1}', True),
        (RATING_GRAMMAR, '{"reason":"x","score":6}', False),
        (RATING_GRAMMAR, '{"reason":"x","score":  4}', False),
        (RATING_GRAMMAR, '{"score":4,"reason":"x"}', False),
        (RATING_GRAMMAR, '{"reason":"a\nb","score":4}', False),
        (CRITIQUE_GRAMMAR, '{"comment":"x","flaws":[]}', True),
        (CRITIQUE_GRAMMAR, '{"comment": "x", "flaws": ["wrong scene", "blur"]}', True),
        (CRITIQUE_GRAMMAR, json.dumps({"comment": "x", "flaws": list(FLAWS)}, separators=(",", ":")), True),
        (CRITIQUE_GRAMMAR, '{"comment":"x","flaws":["ugly"]}', False),
        (CRITIQUE_GRAMMAR, json.dumps({"comment": "x", "flaws": [*FLAWS, "blur"]}), False),
    ],
)
def test_the_engines_grammar_takes_what_the_readers_read(form: str, text: str, fits: bool) -> None:
    import xgrammar.testing as xgrammar_testing

    assert xgrammar_testing._is_grammar_accept_string(form, text) is fits
    if fits:
        if form == CRITIQUE_GRAMMAR:
            read_critique(text, FLAWS)
        else:
            read_reasoned_score(text, digit_step([Step(char, [(char, 0.0)]) for char in text]))


@pytest.mark.parametrize(
    ("form", "text", "fits"),
    [
        (rating_grammar(text=False), '{"reason":"","score":4}', True),
        (rating_grammar(text=False), '{"reason":"x","score":4}', False),
        (critique_grammar(FLAWS, text=False), '{"comment":"","flaws":["blur"]}', True),
        (critique_grammar(FLAWS, text=False), '{"comment":"x","flaws":["blur"]}', False),
        (critique_grammar(("one",)), '{"comment":"x","flaws":["one"]}', True),
        (critique_grammar(("one",)), '{"comment":"x","flaws":["one","one"]}', False),
        (critique_grammar(('a "new" flaw',)), '{"comment":"x","flaws":["a \\"new\\" flaw"]}', True),
    ],
)
def test_other_lists_and_empty_texts_have_grammars_too(form: str, text: str, fits: bool) -> None:
    import xgrammar.testing as xgrammar_testing

    assert xgrammar_testing._is_grammar_accept_string(form, text) is fits


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"reason":"too dark on the lef', "too dark on the…"),
        ('{"reason": "a \\"sale\\" tag, caf\\u00', 'a "sale" tag,…'),
        ('{"reason":"two\\nlines \\', "two\nlines…"),
        ('{"comment":"all of it","fla', "all of it"),
        ('```json\n{"comment":"word', "word…"),
        ('{"comment":"', "…"),
        ("I think that", None),
        ('{"score":', None),
    ],
)
def test_what_a_cut_reply_said(reply: str, said: str | None) -> None:
    assert read_cut(reply) == said


@settings(deadline=None)
@given(st.text(), st.integers(0, 60))
def test_any_comment_that_is_cut_is_read_as_far_as_it_got(comment: str, at: int) -> None:
    whole = json.dumps({"comment": comment, "flaws": []}, ensure_ascii=False, separators=(",", ":"))
    said = read_cut(whole[: max(at, len('{"comment":"'))])
    assert said is not None and comment.strip().startswith(said.removesuffix("…").strip())
