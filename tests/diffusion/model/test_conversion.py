"""Pickled weights and single files become model folders of the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from s3fs import S3FileSystem
from safetensors.torch import load_file, save_file

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import conversion, loading, validation
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations
from tests.support.ldm_layout import single_file, single_file_xl
from tests.support.tiny_xl import XlModels

if TYPE_CHECKING:
    from chaos.bucket import Bucket

WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
pytestmark = pytest.mark.heavy  # each pickled file is read by a process of its own


def convert(source: Path, out: Path, config: Path | None = None) -> list[str]:
    lines: list[str] = []
    conversion.convert(str(source), str(out), config=str(config) if config else None, tell=lines.append)
    return lines


def pickled(folder: Path, out: Path, *parts: str) -> Path:
    """A copy of a model folder with pickled weights."""
    shutil.copytree(folder, out)
    for part in parts:
        path = out / part / f"{WEIGHTS[part]}.safetensors"
        torch.save(load_file(path), path.with_name(f"{'pytorch_model' if part == 'text_encoder' else path.stem}.bin"))
        path.unlink()
    return out


def state(folder: Path, part: str) -> dict[str, torch.Tensor]:
    return load_file(folder / part / f"{WEIGHTS[part]}.safetensors")


def test_a_folder_of_pickled_weights(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = pickled(Path(tiny_painter.base), tmp_path / "old", *WEIGHTS)
    (source / "safety_checker").mkdir()
    torch.save({"x": torch.zeros(1)}, source / "safety_checker" / "pytorch_model.bin")
    (source / "v1-5-pruned.ckpt").write_bytes(b"7" * 9)
    index = json.loads((source / "model_index.json").read_text())
    (source / "model_index.json").write_text(json.dumps({**index, "safety_checker": ["stable_diffusion", "X"]}))
    with pytest.raises(UserError, match="has pickled weights only"):
        validation.check_model(str(source))
    lines = convert(source, tmp_path / "new")
    assert "text_encoder/pytorch_model.bin -> model.safetensors" in lines
    assert "v1-5-pruned.ckpt: left out, no job reads it" in lines and len(lines) == 4
    for part in WEIGHTS:
        want, got = state(Path(tiny_painter.base), part), state(tmp_path / "new", part)
        assert want.keys() == got.keys() and all(torch.equal(want[name], got[name]) for name in want)
    assert json.loads((tmp_path / "new" / "model_index.json").read_text())["safety_checker"] == [None, None]
    assert not (tmp_path / "new" / "safety_checker").exists()
    loading.load(str(tmp_path / "new"), tiny_painter)


def test_sharded_pickles_keep_their_parts(tmp_path: Path) -> None:
    source = tmp_path / "judge"
    source.mkdir()
    files = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    for name, file in files.items():
        torch.save({name: torch.full((2,), 7.0)}, source / file)
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    convert(source, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())["weight_map"]
    assert found == {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    assert load_file(tmp_path / "out" / found["b"])["b"].tolist() == [7.0, 7.0]


def test_pickles_beside_safetensors_are_left_out(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_painter.base, tmp_path / "both"))
    (source / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not even opened")
    assert convert(source, tmp_path / "out") == [
        "unet/diffusion_pytorch_model.bin: left out, diffusion_pytorch_model.safetensors is there"
    ]


class _Orders:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this ran",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (lambda path: torch.save({"a": torch.zeros(1), "b": _Orders()}, path), "it holds more than tensors"),
        (lambda path: torch.save({"a": 3}, path), "it holds no tensors"),
        (
            lambda path: path.write_bytes(b"<html>404</html>"),
            "it is no file that torch wrote, or is cut short|more than",
        ),
        (lambda path: save_file({"a": torch.zeros(1)}, path), "it is a safetensors file under another name"),
        (lambda path: path.write_bytes(b""), "it is no file that torch wrote, or is cut short"),
    ],
)
def test_a_file_that_is_no_weights_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: Any, line: str
) -> None:
    source = tmp_path / "clip"
    source.mkdir()
    content(source / "pytorch_model.bin")
    with pytest.raises(UserError, match=line):
        convert(source, tmp_path / "out")
    assert "this ran" not in capfd.readouterr().out and not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_single_file_is_taken_apart(tiny_painter: DiffusionConfig, tmp_path: Path, ending: str) -> None:
    base = Path(tiny_painter.base)
    changed = {name: value + 0.125 if value.is_floating_point() else value for name, value in single_file(base).items()}
    file = tmp_path / f"shop.{ending}"
    if ending == "ckpt":
        torch.save({"state_dict": changed, "global_step": 3}, file)
    else:
        save_file(changed, file)
    with pytest.raises(UserError, match=r"is a single file, which says nothing of its architecture; add config=FOLDER"):
        convert(file, tmp_path / "out")
    assert convert(file, tmp_path / "out", base) == [f"shop.{ending} -> scheduler, text_encoder, tokenizer, unet, vae"]
    for part in WEIGHTS:
        want, got = state(base, part), state(tmp_path / "out", part)
        bare = {name.removeprefix("text_model."): value for name, value in got.items()}
        for name, value in want.items():
            torch.testing.assert_close(bare[name.removeprefix("text_model.")], value + 0.125, rtol=0, atol=0)
    loading.load(str(tmp_path / "out"), tiny_painter)


def test_a_single_file_of_stable_diffusion_xl(xl_models: XlModels, tmp_path: Path) -> None:
    changed = {n: v + 0.125 if v.is_floating_point() else v for n, v in single_file_xl(xl_models.base).items()}
    save_file(changed, tmp_path / "shop.safetensors")
    parts = "scheduler, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, vae"
    assert convert(tmp_path / "shop.safetensors", tmp_path / "out", xl_models.base) == [f"shop.safetensors -> {parts}"]
    second = Path("text_encoder_2", "model.safetensors")
    pairs = [(state(xl_models.base, part), state(tmp_path / "out", part)) for part in WEIGHTS]
    for want, got in [*pairs, (load_file(xl_models.base / second), load_file(tmp_path / "out" / second))]:
        bare = {name.removeprefix("text_model."): value for name, value in got.items()}
        for name, value in want.items():
            torch.testing.assert_close(bare[name.removeprefix("text_model.")], value + 0.125, rtol=0, atol=0)
    loading.load(str(tmp_path / "out"), xl_models.painter())
    del changed["conditioner.embedders.1.model.ln_final.bias"]
    save_file(changed, tmp_path / "cut.safetensors")
    with pytest.raises(UserError, match=r"has nothing for text_encoder_2's .*final_layer_norm.bias"):
        convert(tmp_path / "cut.safetensors", tmp_path / "other", xl_models.base)


def test_what_is_not_there_or_there_already(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in=/nowhere is not there"):
        convert(Path("/nowhere"), tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        convert(Path(tiny_painter.base), Path(tiny_painter.clip))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no weights that this job knows"):
        convert(tmp_path / "empty", tmp_path / "out")


@pytest.mark.parametrize(("dtype", "kept"), [("float16", "float16"), ("bfloat16", "bfloat16"), ("float32", "float32")])
def test_a_single_file_keeps_its_type(tiny_painter: DiffusionConfig, tmp_path: Path, dtype: str, kept: str) -> None:
    base = Path(tiny_painter.base)
    # 70000 is beyond float16.
    values = {name: torch.full_like(value, 1.0 if dtype == "float16" else 70000.0) for name, value in single(base)}
    save_file({name: value.to(getattr(torch, dtype)) for name, value in values.items()}, tmp_path / "x.safetensors")
    convert(tmp_path / "x.safetensors", tmp_path / "out", base)
    for part in WEIGHTS:
        got = state(tmp_path / "out", part).values()
        assert all(value.dtype == getattr(torch, kept) and bool(value.isfinite().all()) for value in got)


def single(base: Path) -> list[tuple[str, torch.Tensor]]:
    return list(single_file(base).items())


@pytest.mark.parametrize(
    ("left", "line"),
    [
        (lambda name: not name.startswith("first_stage_model"), "Failed to load AutoencoderKL"),
        (
            lambda name: "layers.1.mlp.fc1.weight" not in name,
            r"has nothing for text_encoder's \S*layers.1.mlp.fc1.weight",
        ),
    ],
)
def test_a_single_file_that_lacks_something(
    tiny_painter: DiffusionConfig, tmp_path: Path, left: Any, line: str
) -> None:
    base = Path(tiny_painter.base)
    save_file({name: value for name, value in single(base) if left(name)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=line):
        convert(tmp_path / "x.safetensors", tmp_path / "out", base)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.safetensors"]


def test_the_configuration_of_a_smaller_model_drops_nothing(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    base = Path(tiny_painter.base)
    config = Path(shutil.copytree(base, tmp_path / "config"))
    path = config / "text_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 1}))
    save_file(dict(single(base)), tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"has \d+ tensors for the text_encoder, and by its configuration it has \d+"):
        convert(tmp_path / "x.safetensors", tmp_path / "out", config)


def test_a_quantised_single_file_is_refused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    base = Path(tiny_painter.base)
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in single(base)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="is stored as F8_E4M3; get weights as F32, F16 or BF16"):
        convert(tmp_path / "x.safetensors", tmp_path / "out", base)


def test_a_lora_is_no_pipeline(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    save_file({"unet.mid_block.attn1.to_q.lora_A.weight": torch.zeros(2, 4)}, tmp_path / "shop.safetensors")
    with pytest.raises(UserError, match=r"shop.safetensors is a LoRA, no pipeline; add it to the model"):
        convert(tmp_path / "shop.safetensors", tmp_path / "out", Path(tiny_painter.base))


def test_what_can_t_be_read_or_written_is_a_line(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_painter.base, tmp_path / "model"))
    with pytest.raises(UserError, match=r"out=/proc/x/out can't be written: "):
        convert(source, Path("/proc/x/out"))
    (source / "model_index.json").write_text("{")
    with pytest.raises(UserError, match=r"model_index.json is not JSON"):
        convert(source, tmp_path / "out")
    (source / "unet" / "lost.safetensors").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"lost.safetensors is a link to nowhere, which is not there"):
        convert(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_a_part_that_is_a_link_is_converted(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    source = pickled(Path(tiny_painter.base), tmp_path / "old", "vae")
    (source / "vae").rename(tmp_path / "better_vae")
    (source / "vae").symlink_to("../better_vae")
    assert "vae/diffusion_pytorch_model.bin -> diffusion_pytorch_model.safetensors" in convert(source, tmp_path / "new")
    loading.load(str(tmp_path / "new"), tiny_painter)


def test_a_result_that_can_t_be_written_is_no_fault_of_the_source(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(3)}, tmp_path / "x.bin")
    with pytest.raises(
        UserError, match=r"x.bin can't be converted: the result can't be written \(.*\); free some room"
    ):
        conversion.unpickle(tmp_path / "x.bin", tmp_path / "nowhere" / "x.safetensors")


def test_a_conversion_that_ends_early_leaves_nothing(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt(line)

    source = pickled(Path(tiny_painter.base), tmp_path / "old", "vae")
    with pytest.raises(KeyboardInterrupt):
        conversion.convert(str(source), str(tmp_path / "new"), config=None, tell=interrupt)
    assert list(tmp_path.iterdir()) == [source]


def test_an_upload_that_is_interrupted_is_no_model_and_goes_on(
    tiny_painter: DiffusionConfig, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, put = f"{s3_bucket.uri}/converted models/[1]", S3FileSystem.put
    another = f"{s3_bucket.uri}/converted models/another"

    def interrupted(self: S3FileSystem, sources: list[str], targets: list[str]) -> None:
        put(self, sources[1:], targets[1:])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(S3FileSystem, "put", interrupted)
        conversion.convert(tiny_painter.base, out, config=None, tell=print)
    with pytest.raises(UserError, match=r"is not finished by the job that writes it \(convert\)"):
        validation.check_model(out)
    locations.write_text(f"{out}/vae/old.json", "of another source")
    for place in (out, another):
        conversion.convert(tiny_painter.base, place, config=None, tell=print)
        validation.check_model(place)
    assert sorted(folders.files_below(out)) == sorted(folders.files_below(another))
    with pytest.raises(UserError, match="is there already"):
        conversion.convert(tiny_painter.base, out, config=None, tell=print)


def test_a_conversion_into_an_empty_folder_goes_on(
    tiny_painter: DiffusionConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is killed while its parts appear, or that leaves its hidden folder."""
    out, rename = tmp_path / "volume", Path.rename
    out.mkdir()

    def interrupted(part: Path, target: Path) -> Path:
        if part.name == "unet":
            (out / ".p2i_convert_x" / "model").mkdir(parents=True)
            raise KeyboardInterrupt
        return rename(part, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", interrupted)
        convert(Path(tiny_painter.base), out)
    with pytest.raises(UserError, match="is not finished by the job"):
        validation.check_model(str(out))
    convert(Path(tiny_painter.base), out)
    convert(Path(tiny_painter.base), tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
    validation.check_model(str(out))
