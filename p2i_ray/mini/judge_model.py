"""The tiny judge's model, tokenizer, processor and chat template: a Qwen2.5-VL of 2 M parameters, as vLLM loads it.

A picture of 64x64 is 8x8 patches and, merged two by two, 16 tokens of the language model. The training uses
`tower_features` and `hidden_states`, which process whole batches and give the library's own results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

SIZE, PATCH, MERGE = 64, 8, 2  # px a side of the picture and of a patch; patches a side of a token
GRID = SIZE // PATCH  # patches a side
TOKENS = (GRID // MERGE) ** 2  # language-model tokens a picture
WIDTH, LAYERS = 128, 4
VOCABULARY = 800
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ['image', 'image_url'] %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of `VOCABULARY` entries, each digit its own token, with Qwen's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Make the untrained model, with eager attention: at these lengths it trains fastest on a CPU."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    at = {token: cast("int", tokenizer.convert_tokens_to_ids(token)) for token in SPECIAL}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e4},
        "bos_token_id": None,
        "eos_token_id": at["<|im_end|>"],
        "pad_token_id": at["<|endoftext|>"],
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": LAYERS,
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": WIDTH,
        "window_size": 2 * SIZE,  # one window: the whole picture
        "fullatt_block_indexes": list(range(LAYERS)),
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=at["<|image_pad|>"],
        video_token_id=at["<|video_pad|>"],
        vision_start_token_id=at["<|vision_start|>"],
        vision_end_token_id=at["<|vision_end|>"],
    )
    torch.manual_seed(seed)
    model: Qwen2_5_VLForConditionalGeneration = Qwen2_5_VLForConditionalGeneration._from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation="eager"
    )
    model.generation_config.do_sample = False
    model.generation_config.eos_token_id = at["<|im_end|>"]
    model.generation_config.pad_token_id = at["<|endoftext|>"]
    return model


def save_judge(model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the folder that vLLM and transformers load: fp16 safetensors, tokenizer, processor, chat template."""
    import copy

    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    out.mkdir(parents=True, exist_ok=True)
    sizes = {"shortest_edge": SIZE * SIZE, "longest_edge": SIZE * SIZE}
    common = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2, "image_mean": MEAN, "image_std": STD}
    Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=Qwen2VLImageProcessor(size=sizes, **common),
        video_processor=Qwen2VLVideoProcessor(size=sizes, **common),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(out)
    tokenizer.save_pretrained(out)
    stored: Any = copy.deepcopy(model)  # transformers leaves `half` untyped
    stored.half().save_pretrained(out)


def load_judge(folder: Path) -> tuple[Qwen2_5_VLForConditionalGeneration, PreTrainedTokenizerFast]:
    """Load the judge in float32, for training or checks."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.train(False)
    return model, cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(folder))


def patches(images: np.ndarray) -> torch.Tensor:
    """Cut pictures into patches, as the processor does: uint8 (B, 64, 64, 3) -> float (B, 64, 384) in [-1, 1].

    Patches are in the order of their tokens (two by two); a patch's values go by channel, then by two equal frames.
    """
    batch, side = len(images), GRID // MERGE
    pixels = (images.astype(np.float32) / 255 - MEAN[0]) / STD[0]
    cut = pixels.reshape(batch, side, MERGE, PATCH, side, MERGE, PATCH, 3)
    cut = cut.transpose(0, 1, 4, 2, 5, 7, 3, 6)  # (B, token row, token column, 2, 2, 3, 8, 8)
    cut = np.repeat(cut[..., None, :, :], 2, axis=-3)  # (B, 4, 4, 2, 2, 3, 2, 8, 8)
    return torch.from_numpy(cut.reshape(batch, GRID * GRID, -1).astype(np.float32))


def tower_features(model: Qwen2_5_VLForConditionalGeneration, cut: torch.Tensor) -> torch.Tensor:
    """Run the vision tower over a whole batch: (B, 64, 384) -> (B, 16, 128)."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    tower = model.model.visual
    kernel = tower.patch_embed.proj.weight.flatten(1)  # (128, 384)
    hidden = torch.nn.functional.linear(cut, kernel)  # (B, 64, 128)
    batch, length, width = hidden.shape
    angles = tower.rotary_pos_emb(_patch_positions()).repeat(1, 2)  # (64, 32)
    cos, sin = angles.cos(), angles.sin()
    for block in tower.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(hidden)).view(batch, length, 3, attention.num_heads, -1)
        query, key, value = qkv.unbind(2)  # (B, 64, heads, 32)
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        weights = torch.einsum("bqhd,bkhd->bhqk", query, key) * attention.scaling
        mixed = torch.einsum("bhqk,bkhd->bqhd", weights.softmax(-1).to(value.dtype), value)
        hidden = hidden + attention.proj(mixed.reshape(batch, length, width))
        hidden = hidden + block.mlp(block.norm2(hidden))
    merged: torch.Tensor = tower.merger(hidden.reshape(batch * length, width))
    return merged.view(batch, TOKENS, -1)


def _patch_positions() -> torch.Tensor:
    """Row and column of each patch in the order of `patches`: (64, 2)."""
    grid = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij"))  # (2, 8, 8)
    side = GRID // MERGE
    grid = grid.reshape(2, side, MERGE, side, MERGE).transpose(0, 1, 3, 2, 4)
    return torch.from_numpy(np.ascontiguousarray(grid.reshape(2, -1).T))


def positions(tokens: Sequence[int], image_token: int) -> np.ndarray:
    """Qwen's positions (time, row, column) of a sequence of still pictures and text: (3, L)."""
    out, now, i, side = np.empty((3, len(tokens)), np.int64), 0, 0, GRID // MERGE
    while i < len(tokens):
        if tokens[i] == image_token:
            rows, columns = np.divmod(np.arange(TOKENS), side)
            out[:, i : i + TOKENS] = now + np.stack([np.zeros(TOKENS, np.int64), rows, columns])
            now, i = now + side, i + TOKENS
        else:
            out[:, i] = now
            now, i = now + 1, i + 1
    return out


def hidden_states(
    model: Qwen2_5_VLForConditionalGeneration,
    sequences: Sequence[Sequence[int]],
    features: torch.Tensor | None,
    pictures: Sequence[Sequence[int]],
) -> torch.Tensor:
    """The language model's last hidden states over right-padded sequences: (N, L, 128).

    Args:
        model: the judge.
        sequences: token ids, each picture as `TOKENS` image tokens.
        features: `tower_features` of the batch's pictures, (B, 16, 128).
        pictures: for each sequence, the indices of its pictures in `features`, in order.
    """
    config: Any = model.config  # the text part's type is too wide in transformers
    image_token, pad = config.image_token_id, config.text_config.pad_token_id
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad)
    places = torch.zeros(3, len(sequences), longest, dtype=torch.long)
    for n, tokens in enumerate(sequences):
        ids[n, : len(tokens)] = torch.as_tensor(tokens)
        places[:, n, : len(tokens)] = torch.from_numpy(positions(tokens, image_token))
    embedded = model.model.language_model.embed_tokens(ids)  # (N, L, 128)
    flat = [picture for one in pictures for picture in one]
    if flat and features is not None:
        embedded = embedded.masked_scatter((ids == image_token)[..., None], features[flat].to(embedded.dtype))
    # Padding is on the right and the mask is causal: no answer sees it.
    language_model = model.model.language_model
    hidden: torch.Tensor = language_model(
        inputs_embeds=embedded, position_ids=places, use_cache=False
    ).last_hidden_state
    return hidden
