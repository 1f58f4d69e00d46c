"""Raters' files: what is read, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.evaluate.study import votes
from tests.support.studies import APPEAL, QUALITY, small_study, votes_file

STUDY = small_study()


def test_votes_are_read_by_rater(tmp_path: Path) -> None:
    votes_file(tmp_path, STUDY, "Zoë", lambda question, criterion: "ours")
    votes_file(tmp_path, STUDY, "anna", lambda question, criterion: None if criterion == APPEAL else "lama")
    (tmp_path / "notes.txt").write_text("no votes")
    ballots, notes = votes.read(STUDY, str(tmp_path))
    assert [ballot.rater for ballot in ballots] == ["Zoë", "anna"]
    assert ballots[0].votes == {("q0", APPEAL): "left", ("q0", QUALITY): "left"} | {
        ("q1", APPEAL): "right",
        ("q1", QUALITY): "right",
    }
    assert notes == [f"{tmp_path}/notes.txt is not read: it is no *.json"]
    assert votes.by_question(ballots, ["q0", "q1"], QUALITY) == [["left", "right"], ["right", "left"]]


def test_what_a_folder_has_beside_its_files_is_said(tmp_path: Path) -> None:
    file = votes_file(tmp_path, STUDY, "anna", lambda question, criterion: "ours")
    file.rename(tmp_path / "ANNA.JSON")
    votes_file(tmp_path / "monday", STUDY, "ben", lambda question, criterion: "ours")
    ballots, notes = votes.read(STUDY, str(tmp_path))
    assert [ballot.rater for ballot in ballots] == ["anna"]
    assert notes == [f"{tmp_path} has more *.json in folders of its own, which are not read, as monday/ben.json"]


def test_a_file_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    file = votes_file(tmp_path, STUDY, "anna", lambda question, criterion: "ours")
    shutil.copy(file, tmp_path / "anna (1).json")
    ballots, notes = votes.read(STUDY, f"{file}, {tmp_path}/anna (1).json")
    assert len(ballots) == 1
    assert len(notes) == 1 and "the same votes by anna" in notes[0]


def test_votes_that_an_editor_has_saved(tmp_path: Path) -> None:
    file = votes_file(tmp_path, STUDY, "anna", lambda question, criterion: "ours")
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert len(votes.read(STUDY, str(file))[0][0].votes) == 4


def test_votes_that_are_missing_are_said(tmp_path: Path) -> None:
    one = [{"question": "q1", "criterion": APPEAL, "choice": "none"}]
    votes_file(tmp_path, STUDY, "anna", lambda question, criterion: None, votes=one)
    _, notes = votes.read(STUDY, str(tmp_path))
    assert notes == ["anna has answered 1 of 4 questions"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"study": "xyz"}, "a.json is of study xyz, not of this one (abc)"),
        ({"format": "something"}, "a.json is no file of votes: format"),
        ({"rater": " "}, "a.json is no file of votes: rater"),
        ({"rater": "\u200b\x1b"}, "a.json is no file of votes: rater"),
        ({"extra": 1}, "a.json is no file of votes: extra"),
        ({"votes": [{"question": "q9", "criterion": APPEAL, "choice": "left"}]}, "a vote on q9, which is no question"),
        ({"votes": [{"question": "q0", "criterion": "fun", "choice": "left"}]}, "by 'fun', which is no criterion"),
        ({"votes": [{"question": "q0", "criterion": APPEAL, "choice": "up"}]}, "no file of votes: votes.0.choice"),
        (
            {"votes": [{"question": "q0", "criterion": APPEAL, "choice": "left"}] * 2},
            "two votes on q0 by visual",
        ),
        ({"votes": []}, "has no votes"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, changed: dict[str, object], line: str) -> None:
    votes_file(tmp_path, STUDY, "a", lambda question, criterion: "ours", **changed)
    with pytest.raises(UserError) as raised:
        votes.read(STUDY, str(tmp_path))
    assert line in str(raised.value)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("\u05e9\u05dc\u05d5\u05dd\u200f", "\u05e9\u05dc\u05d5\u05dd"),  # Hebrew, with a mark of its direction
        ("\u202eanna\u202c", "anna"),
        ("Jose\u0301", "Jos\u00e9"),
        ("Zo\u00eb \U0001f9d1\u200d\U0001f52c", "Zo\u00eb \U0001f9d1\U0001f52c"),  # two signs that are drawn as one
        ("anna \U0001fae8", "anna \U0001fae8"),  # younger than this Python's tables
        ("\x1b[2J", "[2J"),
        (" anna\u2028 b ", "anna b"),
    ],
)
def test_names_as_phones_write_them(tmp_path: Path, written: str, name: str) -> None:
    file = votes_file(tmp_path, STUDY, written, lambda question, criterion: "ours", name="1")
    assert [ballot.rater for ballot in votes.read(STUDY, str(file))[0]] == [name]


@pytest.mark.parametrize("other", ["Jose\u0301", "JOS\u00c9", "\u200eJos\u00e9", "\uff2aos\u00e9"])
def test_one_name_is_one_rater(tmp_path: Path, other: str) -> None:
    for number, rater in enumerate(("Jos\u00e9", other)):
        votes_file(tmp_path, STUDY, rater, lambda question, criterion: "ours", name=str(number))
    ballots, notes = votes.read(STUDY, str(tmp_path))
    assert len(ballots) == 1 and "they count once" in notes[0]
    votes_file(tmp_path, STUDY, other, lambda question, criterion: "lama", name="1")
    with pytest.raises(UserError, match="differ, and both are by"):
        votes.read(STUDY, str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'{"format": "study-votes"}'])
def test_broken_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is no file of votes"):
        votes.read(STUDY, str(tmp_path))


def test_a_rater_with_two_different_files_is_refused(tmp_path: Path) -> None:
    votes_file(tmp_path, STUDY, "anna", lambda question, criterion: "ours", name="1")
    votes_file(tmp_path, STUDY, "Anna", lambda question, criterion: "lama", name="2")
    with pytest.raises(UserError, match="differ, and both are by Anna; keep the one that counts"):
        votes.read(STUDY, str(tmp_path))


def test_nothing_there_is_one_line(tmp_path: Path) -> None:
    for place, line in ((str(tmp_path), "has no .*json"), (f"{tmp_path}/none", "are not there"), (" , ", "has no")):
        with pytest.raises(UserError, match=line):
            votes.read(STUDY, place)
    study = tmp_path / "study.json"
    study.write_text(json.dumps({"id": "abc"}))
    with pytest.raises(UserError, match="no file of votes"):
        votes.read(STUDY, str(study))
