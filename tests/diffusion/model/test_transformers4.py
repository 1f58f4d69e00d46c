"""A trained folder has what transformers 4 opens, and is the same to transformers 5.

The last test asks transformers 4 itself, where P2I_TRANSFORMERS4 names a folder that it is installed in:
pip install --no-deps --target FOLDER transformers==4.57.3 diffusers==0.35.2 huggingface_hub==0.36.0 tokenizers==0.22.1
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from safetensors.torch import load_file
from transformers import CLIPTextModel

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import export, loading, transformers4
from tests.support.make_batch import make_model

ROW = "text_encoder.embeddings.token_embedding.row"  # of the token
TOKEN = "<Background>"  # capitals, which CLIP's tokenizer lowers in words
NAMES = ["cup", f"cup {TOKEN}", f"A Round  cup, café ☕ {TOKEN}", "<background> back-ground 12cm"]
PROGRAM = """
import json, sys
from diffusers import StableDiffusionInpaintPipeline
pipeline = StableDiffusionInpaintPipeline.from_pretrained(sys.argv[1], use_safetensors=True)
ids = [pipeline.tokenizer(name).input_ids for name in json.loads(sys.argv[2])]
states = [pipeline.text_encoder(pipeline.tokenizer(name, return_tensors="pt").input_ids).last_hidden_state.tolist()
          for name in json.loads(sys.argv[2])]
print("FOUND" + json.dumps([ids, states]))
"""


@pytest.fixture(scope="module")
def saved(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("saved") / "model"
    diffusion = tiny_painter.model_copy(update={"token": TOKEN})
    _, model = make_model(diffusion)
    torch.manual_seed(1)
    weights = {n: p.detach() + 0.1 * torch.randn_like(p) for n, p in model.named_parameters() if p.requires_grad}
    trained = export.Trained(base=diffusion.base, diffusion=diffusion, settings=model.settings, weights=weights)
    export.write(trained, {}, str(out))
    return out


def open_folder(folder: Path | str) -> StableDiffusionInpaintPipeline:
    return StableDiffusionInpaintPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)


def test_the_tokenizer_s_files_hold_what_its_one_file_holds(saved: Path) -> None:
    folder = saved / "tokenizer"
    whole = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    assert vocabulary == whole["model"]["vocab"]
    version, *merges = (folder / "merges.txt").read_text("utf-8").splitlines()
    assert version.startswith("#version") and [line.split() for line in merges] == whole["model"]["merges"]
    assert json.loads((folder / "added_tokens.json").read_text("utf-8")) == {TOKEN: len(vocabulary)}


def test_the_text_encoder_s_weights_have_names_that_both_know(saved: Path, tiny_painter: DiffusionConfig) -> None:
    file = saved / "text_encoder" / "model.safetensors"
    assert all(name.startswith("text_model.") for name in load_file(file))
    before = file.read_bytes()
    transformers4.name_text_layers(file)  # again changes nothing
    assert file.read_bytes() == before
    _, info = CLIPTextModel.from_pretrained(file.parent, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_the_next_round_starts_from_the_same_folder(saved: Path, tiny_painter: DiffusionConfig) -> None:
    diffusion = tiny_painter.model_copy(update={"token": TOKEN})
    parts = loading.load(str(saved), diffusion)
    assert parts.tokenizers[0].convert_tokens_to_ids(TOKEN) == parts.token_ids[0] == len(parts.tokenizers[0]) - 1
    base = loading.load(tiny_painter.base, diffusion)
    assert [parts.tokenizers[0](name).input_ids for name in NAMES] == [
        base.tokenizers[0](name).input_ids for name in NAMES
    ]


@pytest.mark.parametrize("rank", [0, 2])
def test_the_token_s_embedding_is_a_file_of_its_own(tiny_painter: DiffusionConfig, tmp_path: Path, rank: int) -> None:
    _, model = make_model(tiny_painter, lora_rank=rank)
    weights = {name: p.detach() + 1 for name, p in model.named_parameters() if p.requires_grad}
    trained = export.Trained(base=tiny_painter.base, diffusion=tiny_painter, settings=model.settings, weights=weights)
    export.write(trained, {}, str(tmp_path / "model"))
    pipeline = open_folder(tiny_painter.base)
    pipeline.load_textual_inversion(tmp_path / "model")
    row = pipeline.text_encoder.get_input_embeddings().weight[pipeline.tokenizer.convert_tokens_to_ids("<background>")]
    torch.testing.assert_close(row, weights[ROW])


def test_no_file_names_a_place_of_this_machine(saved: Path, tiny_painter: DiffusionConfig) -> None:
    place = str(Path(tiny_painter.base).parent).encode()
    assert not [path for path in saved.rglob("*") if path.is_file() and place in path.read_bytes()]


@pytest.mark.heavy
@pytest.mark.skipif("P2I_TRANSFORMERS4" not in os.environ, reason="P2I_TRANSFORMERS4 names no transformers 4")
def test_transformers_4_opens_it_with_the_same_tokens_and_states(saved: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.environ["P2I_TRANSFORMERS4"], "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", PROGRAM, str(saved), json.dumps(NAMES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    ids, states = json.loads(done.stdout.partition("FOUND")[2])
    pipeline = open_folder(saved)
    assert ids == [pipeline.tokenizer(name).input_ids for name in NAMES]
    for name, state in zip(NAMES, states, strict=True):
        with torch.no_grad():
            own = pipeline.text_encoder(pipeline.tokenizer(name, return_tensors="pt").input_ids).last_hidden_state
        torch.testing.assert_close(torch.tensor(state), own, rtol=1e-4, atol=1e-5)
