"""Prompt files: their content, and a one-line error for each mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.prompts import (
    BUILT_IN,
    load_attractiveness,
    load_prompts,
    score_messages,
    summary_messages,
)

MINI = Path(__file__).parents[3] / "p2i_ray" / "mini" / "prompts"
SCORE = 'version: "1"\nsystem: Rate. $feedback\nfeedback: "Mind $text"\nuser: "Product $name"\nreasoned: "Why $name"\n'


def prompts_with(folder: Path, name: str, text: str | bytes) -> Path:
    """The built-in prompts with one file replaced."""
    shutil.copytree(BUILT_IN, folder / "prompts")
    (folder / "prompts" / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "prompts"


@pytest.mark.parametrize("folder", [BUILT_IN, MINI])
def test_the_included_prompts_are_valid(folder: Path) -> None:
    prompts = load_prompts(folder, reasoned=True)
    assert prompts.score.version and prompts.model_dump_json() == load_prompts(folder).model_dump_json()


def test_placeholders_are_substituted_and_dollars_kept(tmp_path: Path) -> None:
    folder = prompts_with(tmp_path, "score", SCORE.replace("Product $name", "Is ${name} worth $$5?"))
    prompt = load_prompts(folder).score
    messages = score_messages(prompt, "a $name for $9", {"type": "image"}, feedback="$text and $5")
    assert messages[-1]["content"][1]["text"] == "Is a $name for $9 worth $5?"
    assert messages[0]["content"][0]["text"] == "Rate. Mind $text and $5"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert load_prompts(prompts_with(tmp_path, "score", b"\xef\xbb\xbf" + SCORE.encode())).score.version == "1"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("score", "", "is empty"),
        ("score", "# only a comment\n", "is empty"),
        ("score", "- a\n- b\n", "holds no keys"),
        ("score", "just text", "holds no keys"),
        ("score", SCORE + "x" * 20_001, "too long"),
        ("score", SCORE + "# " + "é" * 20_000, "too long: 20.* characters, more than 20000"),
        ("score", b"\xff" * 90_000, "too long"),
        ("score", SCORE.encode() + b"# caf\xe9", "is not UTF-8"),
        ("score", "version: [", "is not YAML, line"),
        ("score", "version: 2024-13-45", "is not YAML"),
        ("score", "version: " + "[" * 5000, "is not YAML"),
        ("score", SCORE + "\x00", "is not YAML"),
        ("score", SCORE.replace('version: "1"\n', ""), "has no version"),
        ("score", SCORE.replace('"1"', "1"), "version: .*string"),
        ("score", SCORE.replace('"1"', '" "'), "version is empty"),
        ("score", SCORE + "usre: x\n", "unknown key usre; it has version, system, user, feedback, reasoned"),
        ("score", SCORE.replace("Product $name", "Product"), r"user lacks \$name"),
        ("score", SCORE.replace('user: "Product $name"\n', ""), "user: Field required"),
        ("score", SCORE.replace("Product $name", " "), r"user is empty or missing; write it with \$name"),
        (
            "score",
            SCORE.replace("Product $name", "Product $nmae"),
            r"user has \$nmae, which has no value.* have \$name",
        ),
        ("score", SCORE.replace("Product $name", "$name $name_of_shop"), r"user has \$name_of_shop"),
        ("score", SCORE.replace("Product $name", "$name for $5"), r"user has a \$ without a name; write \$\$"),
        ("score", SCORE.replace("$feedback", ""), r"system lacks \$feedback"),
        ("score", SCORE.replace("Rate.", "Rate $name."), r"system has \$name, which has no value"),
        ("score", SCORE.replace('feedback: "Mind $text"\n', ""), r"feedback is empty or missing; write it with \$text"),
        ("score", SCORE.replace("Mind $text", "Mind it"), r"feedback lacks \$text"),
        ("score", SCORE.replace("Why $name", "Why"), r"reasoned lacks \$name"),
        (
            "critique",
            'version: "1"\nsystem: Look. $feedback\nuser: $name\n',
            r"system has \$feedback.* may have \$flaws",
        ),
        ("critique", 'version: "1"\nsystem: Look.\nuser: $name\nreasoned: $name\n', "is not used in critique.yaml"),
        ("critique", 'version: "1"\nsystem: ""\nuser: $name\n', "system is empty or missing; write it$"),
        ("summary", 'version: "1"\nsystem: Sum.\nuser: $critiques\n', r"user lacks \$tally"),
        ("summary", 'version: "1"\nsystem: Sum.\nuser: $tally $name\n', r"user has \$name.* \$critiques, \$tally"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, name: str, text: str | bytes, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        load_prompts(prompts_with(tmp_path, name, text))
    shown = str(caught.value)
    assert shown.startswith(f"prompt file {tmp_path}/prompts/{name}.yaml") and "\n" not in shown and len(shown) < 400


def test_a_reason_needs_its_prompt(tmp_path: Path) -> None:
    folder = prompts_with(tmp_path, "score", SCORE.replace('reasoned: "Why $name"\n', ""))
    assert load_prompts(folder).score.reasoned == ""
    with pytest.raises(UserError, match=r"reasoned is empty or missing; write it with \$name"):
        load_prompts(folder, reasoned=True)


def test_a_summary_prompt_may_omit_the_examples(tmp_path: Path) -> None:
    prompt = load_prompts(prompts_with(tmp_path, "summary", 'version: "1"\nsystem: Sum.\nuser: $tally\n')).summary
    assert summary_messages(prompt, "blur: 9 %", "- soft")[1]["content"][0]["text"] == "blur: 9 %"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"score\.yaml is not there; a prompt folder holds score\.yaml, critique"):
        load_prompts(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not there"):
        load_prompts(tmp_path / "file")
    (tmp_path / "odd" / "score.yaml").mkdir(parents=True)
    with pytest.raises(UserError, match="can't be read"):
        load_prompts(tmp_path / "odd")


def test_a_prompt_of_cutouts_is_needed_only_where_they_are_shown(tmp_path: Path) -> None:
    folder = prompts_with(tmp_path, "score", SCORE)
    assert load_prompts(folder).score.cutout == ""
    with pytest.raises(UserError, match=r"score.yaml: cutout is empty or missing; write it"):
        load_prompts(folder, cutouts=True)
    assert "first picture" in load_prompts(cutouts=True).critique.cutout


def test_the_prompt_of_attractiveness_is_a_file_by_itself(tmp_path: Path) -> None:
    built_in = load_attractiveness(reasoned=True, cutouts=True)
    system, asked = score_messages(built_in, "a mug", {"type": "image"}, reasoned=True)
    assert "1 to 5" in asked["content"][1]["text"] and "Product name: a mug" in asked["content"][1]["text"]
    assert "$" not in system["content"][0]["text"]
    assert load_attractiveness(MINI / "score.yaml") == load_prompts(MINI).score  # any score.yaml will do
    own = tmp_path / "own.yaml"
    own.write_text('version: "1"\nsystem: Rate.\nuser: How pretty, 1 to 5?\n')
    (_, question) = score_messages(load_attractiveness(own), "a mug", {"type": "image"})
    assert question["content"][1]["text"] == "How pretty, 1 to 5?"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "own.yaml is not there; name a YAML file with version, system and user"),
        ('version: "1"\nsystem: Rate.\nuser: Rate $nmae\n', r"own.yaml: user has \$nmae, which has no value"),
        ('version: "1"\nsystem: Rate.\nuser: ""\n', "own.yaml: user is empty or missing; write it$"),
        ('version: "1"\nsystem: Rate.\nuser: Rate\n', "own.yaml: reasoned is empty or missing; write it$"),
    ],
)
def test_a_mistake_in_it_is_named(tmp_path: Path, text: str | None, line: str) -> None:
    if text is not None:
        (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UserError, match=line):
        load_attractiveness(tmp_path / "own.yaml", reasoned=True)
