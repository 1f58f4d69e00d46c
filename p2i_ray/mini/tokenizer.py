"""The tokenizer of the tiny CLIPs: CLIP's byte-level BPE, trained on listing names and captions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from p2i_ray.mini.captions import FLAW_WORDS, object_caption, scene_caption, whole_caption
from p2i_ray.mini.training import ANY_SCENE
from p2i_ray.mini.world import CLEAN_UNSEEN, render

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

SEED = 5
MAX_LENGTH = 32
MAX_VOCABULARY = 1100
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer() -> CLIPTokenizer:
    """Learn the merges. Every byte has a token, so no text becomes the unknown token (which is <|endoftext|>)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    pattern = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=MAX_VOCABULARY, end_of_word_suffix="</w>", show_progress=False)
    learner.train_from_iterator(_texts(), trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges), BOS, EOS]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    # transformers takes pairs, as its own files have them; the type hint says text.
    return CLIPTokenizer(vocab=vocabulary, merges=cast("Any", merges), model_max_length=MAX_LENGTH)


def _texts() -> list[str]:
    rng = np.random.default_rng(SEED)
    samples = [render(SEED, i, ANY_SCENE) for i in range(2000)]
    captions = [write(rng, sample) for sample in samples for write in (scene_caption, object_caption, whole_caption)]
    unseen = [render(SEED, i, CLEAN_UNSEEN).name for i in range(500)]
    return [*(sample.name for sample in samples), *unseen, *captions, *FLAW_WORDS.values()]
