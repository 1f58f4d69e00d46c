"""Files that transformers 4 with diffusers 0.35 needs in a model folder that transformers 5 wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

    from p2i_ray.diffusion.model.loading import Parts

TEXT_LAYERS = "text_model."  # before every name in a text encoder's weights; transformers 5 reads them so as well


def complete(parts: Parts, model: Path) -> None:
    """Make a local model folder one that transformers 4 opens with the same tokens and text states.

    Transformers 4 takes weights under unknown names for absent ones, and goes on with random ones.
    """
    for text, tokenizer in zip(parts.backbone.family.texts, parts.tokenizers, strict=True):
        write_vocabulary(tokenizer, model / text.tokenizer)
        if not text.pooled:
            name_text_layers(model / text.encoder / "model.safetensors")


def write_vocabulary(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write vocab.json, merges.txt and added_tokens.json, which transformers 4 reads beside tokenizer.json."""
    tokenizer.backend_tokenizer.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    added = {token: number for token, number in tokenizer.get_added_vocab().items() if token not in vocabulary}
    (folder / "added_tokens.json").write_text(json.dumps(added, indent=2) + "\n", "utf-8")


def name_text_layers(weights: Path) -> None:
    """Give a text encoder's weights the names that transformers 4 knows them by."""
    state = load_file(weights)
    if all(name.startswith(TEXT_LAYERS) for name in state):
        return
    save_file({f"{TEXT_LAYERS}{name}": value for name, value in state.items()}, weights, metadata={"format": "pt"})
