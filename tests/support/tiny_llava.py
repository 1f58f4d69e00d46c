"""A LLaVA with random weights, a few hundred kilobytes: the real architecture, processor and chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

PUBLISHED = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.language_model.": "language_model.model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "lm_head.": "language_model.lm_head.",
}


def build(folder: Path, tokenizer: str) -> str:
    """Write the model and return its folder; the tokenizer is another model's, with <image> added."""
    import torch
    from safetensors.torch import save_file
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(0)
    tokens = AutoTokenizer.from_pretrained(tokenizer)
    tokens.add_special_tokens({"additional_special_tokens": ["<image>"]})
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16
    )
    text = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=cast(int, tokens.convert_tokens_to_ids("<image>")),
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        image_seq_length=16,
    )
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():  # larger than at initialisation, so that pictures affect the digits
        for parameter in model.parameters():
            parameter.mul_(4)
    config.architectures = ["LlavaForConditionalGeneration"]
    config.save_pretrained(folder)
    weights = {_published(name): value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    pictures = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    cast(Any, LlavaProcessor)(
        image_processor=pictures,
        tokenizer=tokens,
        patch_size=16,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return str(folder)


def _published(name: str) -> str:
    """A parameter's name in published checkpoints, which both transformers and vLLM read."""
    for new, old in PUBLISHED.items():
        if name.startswith(new):
            return old + name[len(new) :]
    raise AssertionError(name)
