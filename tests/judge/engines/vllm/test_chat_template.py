"""Chat templates that make no judge are one-line errors before weights are loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm.chat_template import check, default_of_several
from tests.support.tiny_judges import TEMPLATES

MINI = Path("p2i_ray/mini/weights/judge")
TEMPLATE = (MINI / "chat_template.jinja").read_text("utf-8")
END = "<|im_start|>assistant\n"
SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}"
LEFT_OUT = TEMPLATE.replace("messages %}", "messages if message['role'] != 'ROLE' %}", 1)
HYBRID = SWITCH + "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}"


def model(root: Path, template: str | None) -> str:
    """The mini judge's folder without weights, with another template."""
    shutil.copytree(MINI, root, ignore=shutil.ignore_patterns("*.safetensors", "chat_template.jinja"))
    if template is not None:
        (root / "chat_template.jinja").write_text(template, "utf-8")
    return str(root)


@pytest.mark.parametrize(
    "template",
    [
        TEMPLATE,
        TEMPLATE.replace(END, END + HYBRID),  # is asked not to think
        TEMPLATE.replace(END, END + "<think>\n\n</think>\n\n"),
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}ASSISTANT:",  # plain text only
        "{% for m in messages %}{% generation %}{{ m['content'] | trim }}{% endgeneration %}{% endfor %}",
        None,  # vLLM may have one
    ],
)
def test_templates_of_judges(tmp_path: Path, template: str | None) -> None:
    check(model(tmp_path / "judge", template))


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (
            TEMPLATE.replace(END, END + "<think>\n"),
            r"begins every answer with <think>.*take the model's Instruct variant",
        ),
        (TEMPLATE.replace(END, END + "◁think▷"), "begins every answer with ◁think▷"),
        (TEMPLATE + "{% endif %}", "can't be used .*endif.*; it must take .*: repair chat_template.jinja"),
        ("{{ raise_exception('System role not supported') }}", r"can't be used \(System role not supported\)"),
        ("{{ messages[9]['role'] }}", "can't be used .*no element 9"),
        ("{{ 1 / 0 }}", "can't be used .*division by zero"),
        (LEFT_OUT.replace("ROLE", "system"), "leaves system messages out; repair chat_template.jinja"),
        (LEFT_OUT.replace("ROLE", "assistant"), "leaves assistant messages out"),
    ],
)
def test_templates_that_make_no_judge(tmp_path: Path, template: str, line: str) -> None:
    folder = model(tmp_path / "judge", template)
    with pytest.raises(UserError, match=f"judge.model={folder}: its chat template .*{line}") as refused:
        check(folder)
    assert "\n" not in str(refused.value) and "shorten" not in str(refused.value)


@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("*.jinja")), ids=lambda file: file.stem)
def test_published_templates_leave_nothing_out(tmp_path: Path, file: Path) -> None:
    check(model(tmp_path / "judge", file.read_text("utf-8")))


@pytest.mark.parametrize("place", ["additional_chat_templates", "chat_template.json"])
def test_the_default_of_several_templates_is_given_to_vllm(tmp_path: Path, place: str) -> None:
    """vLLM would take them all for one template, and fail at every request."""
    folder = model(tmp_path / "judge", TEMPLATE)
    assert check(folder) is default_of_several(folder) is None  # which vLLM finds by itself
    several = {"default": TEMPLATE, "tool_use": "{{ 1 / 0 }}"}
    if place == "chat_template.json":
        named = [{"name": name, "template": template} for name, template in several.items()]
        Path(folder, place).write_text(json.dumps({"chat_template": named}), "utf-8")
        Path(folder, "chat_template.jinja").unlink()
    else:
        Path(folder, place).mkdir()
        Path(folder, place, "tool_use.jinja").write_text(several["tool_use"], "utf-8")
    assert check(folder) == default_of_several(folder) == TEMPLATE


def test_a_template_in_the_tokenizer_s_settings_counts_too(tmp_path: Path) -> None:
    folder = model(tmp_path / "judge", None)
    path = Path(folder, "tokenizer_config.json")
    settings = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**settings, "chat_template": TEMPLATE.replace(END, END + "<think>\n")}), "utf-8")
    with pytest.raises(UserError, match="begins every answer with <think>"):
        check(folder)
