"""Tokens of chats by each family's own processor and template; test_families.py compares them with the engines'."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from p2i_ray.config import JudgeConfig
from p2i_ray.data.images import encode_png
from p2i_ray.errors import UserError
from p2i_ray.judge.engines import model_folder
from p2i_ray.judge.engines.vllm import chat_template
from p2i_ray.judge.engines.vllm.processor import ChatCounter, CountError, load
from p2i_ray.judge.requests.prompts import Prompt, score_messages
from p2i_ray.judge.requests.tasks import image_part

# Tokens of a picture of 512 x 512 and of one of 512 x 256, by the published models: (512 / 28)^2 and (512 / 32)^2
# patches; 24 x 24; 2 x 2 tiles of 24 x 24, a line break for each of 48 rows (24 in half the height), and the whole
# picture; the same of 27 x 27.
PICTURES = {
    "qwen2_vl": (324, 162),
    "qwen2_5_vl": (324, 162),
    "qwen3_vl": (256, 128),
    "llava": (576, 576),
    "llava_next": (48 * 48 + 48 + 576, 24 * 48 + 24 + 576),
    "llava_onevision": (54 * 54 + 54 + 729, 27 * 54 + 27 + 729),
}
PROMPT = Prompt(version="1", system="Rules. $feedback", user="Name: $name")
CHATS = {
    "qwen": "<|im_start|>system\nRules.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
    "Name: mug<|im_end|>\n<|im_start|>assistant\n",
    "llava": "Rules. USER: <image>\nName: mug ASSISTANT:",
    "llava_next": "<<SYS>>\nRules.\n<</SYS>>\n\n[INST] <image>\nName: mug [/INST]",
    "llava_onevision": "<|im_start|>system \nRules.<|im_end|><|im_start|>user <image>\nName: mug<|im_end|>"
    "<|im_start|>assistant\n",
}


def picture(width: int, height: int) -> bytes:
    return encode_png(np.full((height, width, 3), 127, np.uint8))


def chat(*pictures: bytes) -> list[dict[str, Any]]:
    messages = score_messages(PROMPT, "mug", image_part(pictures[-1]))
    messages[-1]["content"][:1] = map(image_part, pictures)
    return messages


@pytest.mark.parametrize("family", PICTURES)
def test_a_family_s_judge_is_taken_and_its_pictures_cost_what_is_published(
    tiny_judge: Callable[[str], str], family: str
) -> None:
    model = model_folder.check(tiny_judge(family))
    chat_template.check(model)
    counter = ChatCounter(JudgeConfig(model=model), 512)
    assert (counter.count_picture(picture(512, 512)), counter.count_picture(picture(512, 256))) == PICTURES[family]


@pytest.mark.parametrize("family", PICTURES)
def test_a_chat_has_the_template_s_words_and_all_pictures_tokens(tiny_judge: Callable[[str], str], family: str) -> None:
    counter = ChatCounter(JudgeConfig(model=tiny_judge(family)), 512)
    wide, square = picture(512, 256), picture(512, 512)
    prompt = counter.prompt(chat(square))
    assert prompt == CHATS["qwen" if family.startswith("qwen") else family]
    words = counter.count_text(prompt, special=True)
    assert counter.count(chat(square)) == words - 1 + PICTURES[family][0]
    more = counter.count_text(counter.prompt(chat(wide, square)), special=True) - 2  # the marks of the two
    assert counter.count(chat(wide, square)) == more + sum(PICTURES[family])


@pytest.mark.parametrize(
    ("family", "limits", "tokens"),
    [
        ("qwen2_5_vl", {"max_pixels": 8 * 8 * 28 * 28}, 64),
        ("qwen2_5_vl", {"min_pixels": 40 * 40 * 28 * 28, "max_pixels": 41 * 41 * 28 * 28}, 1600),
        ("qwen3_vl", {"max_pixels": 9 * 9 * 32 * 32}, 81),
    ],
)
def test_limits_of_pixels_change_the_tokens(
    tiny_judge: Callable[[str], str], family: str, limits: dict[str, int], tokens: int
) -> None:
    assert ChatCounter(JudgeConfig(model=tiny_judge(family), **limits), 512).count_picture(picture(512, 512)) == tokens


def test_the_files_that_qwen2_5_vl_was_published_in_are_read(tiny_judge: Callable[[str], str], tmp_path: Path) -> None:
    own = Path(tiny_judge("qwen2_5_vl"))
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).symlink_to(own / name)
    template = (own / "chat_template.jinja").read_text("utf-8")
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}), "utf-8")
    pictures = {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pictures), "utf-8")
    for limits, tokens in (({}, 324), ({"max_pixels": 64 * 28 * 28}, 64)):
        counter = ChatCounter(JudgeConfig(model=str(tmp_path), **limits), 512)
        assert counter.count_picture(picture(512, 512)) == tokens
        assert counter.prompt(chat(picture(512, 512))) == CHATS["qwen"]


def test_a_template_of_plain_text_gets_the_pictures_marks(tiny_judge: Callable[[str], str], tmp_path: Path) -> None:
    processor = load(tiny_judge("llava"))
    for number, content in enumerate(("m['content']", "'' + m['content']")):  # parts as a list's text; or an error
        processor.chat_template = "{% for m in messages %}{{ " + content + " }};{% endfor %}"
        processor.save_pretrained(tmp_path / str(number))
        counter = ChatCounter(JudgeConfig(model=str(tmp_path / str(number))), 512)
        assert counter.prompt(chat(picture(9, 9))) == "Rules.;<image>\nName: mug;"
    processor.chat_template = "nothing"
    processor.save_pretrained(tmp_path / "blind")
    with pytest.raises(CountError, match="shows no pictures"):
        ChatCounter(JudgeConfig(model=str(tmp_path / "blind")), 512).prompt(chat(picture(9, 9)))


def test_a_folder_without_its_tokenizer_is_one_line(tiny_judge: Callable[[str], str], tmp_path: Path) -> None:
    config = Path(tiny_judge("qwen3_vl"), "config.json").read_text("utf-8")
    (tmp_path / "config.json").write_text(config, "utf-8")
    with pytest.raises(UserError, match=r"its processor can't be loaded .*; fetch the model's tokenizer and processor"):
        load(str(tmp_path))


def test_what_transformers_has_no_processor_for_can_t_be_counted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "new_vl", "vision_config": {}}', "utf-8")
    with pytest.raises(CountError, match="transformers has no processor"):
        load(str(tmp_path))
