"""Judges of every family with random weights: the real architecture, processor and chat template, tiny layers.

Pictures are cut into as many tokens as by the published models, whose geometry and limits these have. The tokenizer is
the mini judge's with the family's own special tokens. The templates in judge_templates/ are the published ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

MINI = Path(__file__).parents[2] / "p2i_ray" / "mini" / "weights" / "judge"
TEMPLATES = Path(__file__).parent / "judge_templates"
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "llava_next", "llava_onevision")
WIDTH = 64
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
}
TOWER = {"hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
NEXT_TILES = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
ONEVISION_TILES = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
# A parameter's name in published checkpoints of LLaVA's kind, which both transformers and vLLM read.
PUBLISHED = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.language_model.": "language_model.model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.image_newline": "image_newline",
    "lm_head.": "language_model.lm_head.",
}
LARGER = 3.0  # weights, than at initialisation: so that pictures affect the digits


def build(family: str, folder: Path, *, weights: bool = False) -> str:
    """Write the model's folder and return it; without weights, one empty safetensors file stands for them."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(family)
    config = _config(family, tokenizer)
    template = "qwen2_vl" if family == "qwen2_5_vl" else family
    _processor(family, tokenizer, (TEMPLATES / f"{template}.jinja").read_text("utf-8")).save_pretrained(folder)
    config.save_pretrained(folder)
    if weights:
        _save_random(family, config, folder)
    else:
        save_file({"none": np.zeros(1, np.float32)}, folder / "model.safetensors")
    written = json.loads((folder / "config.json").read_text("utf-8"))
    for part in ("text_config", "vision_config"):  # published folders have them at the top alone
        written[part].pop("architectures", None)
    (folder / "config.json").write_text(json.dumps({**written, "architectures": [_model_class(config).__name__]}))
    return str(folder)


def _tokenizer(family: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MINI)
    if family.startswith("llava"):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    tokenizer.chat_template = None  # the processor's counts
    return tokenizer


def _config(family: str, tokenizer: Any) -> Any:
    import transformers

    def at(token: str) -> int:
        return cast(int, tokenizer.convert_tokens_to_ids(token))

    text: dict[str, Any] = {**TEXT, "vocab_size": len(tokenizer), "eos_token_id": at("<|im_end|>")}
    if family.startswith("qwen"):
        of_the_text = {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}}
        vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2}
        match family:
            case "qwen2_vl":
                vision |= {"embed_dim": WIDTH, "hidden_size": WIDTH, "mlp_ratio": 2, "patch_size": 14}
            case "qwen2_5_vl":
                vision |= {"hidden_size": WIDTH, "intermediate_size": 128, "out_hidden_size": WIDTH, "patch_size": 14}
                vision |= {"window_size": 112, "fullatt_block_indexes": [1]}
            case _:
                vision |= {"hidden_size": WIDTH, "intermediate_size": 128, "out_hidden_size": WIDTH, "patch_size": 16}
                vision |= {"num_position_embeddings": 2304, "deepstack_visual_indexes": [0, 1]}
                of_the_text["rope_parameters"]["mrope_interleaved"] = True
                of_the_text["head_dim"] = cast(Any, 32)
        names = {"qwen2_vl": "Qwen2VLConfig", "qwen2_5_vl": "Qwen2_5_VLConfig", "qwen3_vl": "Qwen3VLConfig"}
        return getattr(transformers, names[family])(
            text_config={**text, **of_the_text},
            vision_config=vision,
            image_token_id=at("<|image_pad|>"),
            video_token_id=at("<|video_pad|>"),
            vision_start_token_id=at("<|vision_start|>"),
            vision_end_token_id=at("<|vision_end|>"),
            tie_word_embeddings=False,
        )
    image: dict[str, Any] = {"image_token_index": at("<image>"), "tie_word_embeddings": False}
    clip = transformers.CLIPVisionConfig(**TOWER, image_size=336, patch_size=14)
    if family == "llava":
        return transformers.LlavaConfig(
            vision_config=clip, text_config=transformers.LlamaConfig(**text), image_seq_length=576, **image
        )
    if family == "llava_next":
        return transformers.LlavaNextConfig(
            vision_config=clip,
            text_config=transformers.MistralConfig(**text, sliding_window=None),
            image_grid_pinpoints=NEXT_TILES,
            image_seq_length=576,
            **image,
        )
    return transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER, image_size=384, patch_size=14, vision_use_head=False),
        text_config=transformers.Qwen2Config(**text),
        video_token_index=at("<video>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=ONEVISION_TILES,
        **image,
    )


def _processor(family: str, tokenizer: Any, template: str) -> Any:
    import transformers

    made: dict[str, Any] = {"tokenizer": tokenizer, "chat_template": template}
    if family.startswith("qwen"):
        is_third = family == "qwen3_vl"
        size = (
            {"shortest_edge": 65536, "longest_edge": 16777216}
            if is_third
            else {"shortest_edge": 3136, "longest_edge": 12845056}
        )
        cut = {"patch_size": 16 if is_third else 14, "merge_size": 2, "temporal_patch_size": 2}
        video = transformers.Qwen3VLVideoProcessor if is_third else transformers.Qwen2VLVideoProcessor
        names = {"qwen2_vl": "Qwen2VLProcessor", "qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}
        return getattr(transformers, names[family])(
            image_processor=transformers.Qwen2VLImageProcessor(size=dict(size), **cut),
            video_processor=video(size=dict(size), **cut),
            **made,
        )
    if family == "llava_onevision":
        size = {"height": 384, "width": 384}
        return transformers.LlavaOnevisionProcessor(
            image_processor=transformers.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=ONEVISION_TILES),
            video_processor=transformers.LlavaOnevisionVideoProcessor(size=size),
            num_image_tokens=729,
            vision_feature_select_strategy="full",
            vision_aspect_ratio="anyres_max_9",
            **made,
        )
    made |= {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    square = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    if family == "llava":
        return transformers.LlavaProcessor(image_processor=transformers.CLIPImageProcessor(**square), **made)
    pictures = transformers.LlavaNextImageProcessor(**square, image_grid_pinpoints=NEXT_TILES)
    return transformers.LlavaNextProcessor(image_processor=pictures, **made)


def _model_class(config: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText._model_mapping[type(config)]  # type: ignore[attr-defined]


def _save_random(family: str, config: Any, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = _model_class(config)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(LARGER)
    if family.startswith("qwen"):
        model.save_pretrained(folder)
        return
    named = {_published(name): value.contiguous() for name, value in model.state_dict().items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})


def _published(name: str) -> str:
    for own, published in PUBLISHED.items():
        if name.startswith(own):
            return published + name[len(own) :]
    raise AssertionError(name)
