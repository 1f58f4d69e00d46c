"""Make a model folder with safetensors of what people have: pickled weights, or a pipeline in a single file."""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from p2i_ray.diffusion.backbones import families
from p2i_ray.diffusion.backbones.families import Family
from p2i_ray.diffusion.model import shapes, validation
from p2i_ray.diffusion.model.unpickle import NOT_WRITTEN
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError, one_line, reason
from p2i_ray.run import job_output, lease
from p2i_ray.storage import folders, locations, safetensors_header
from p2i_ray.storage.safetensors_header import Tensor

Tell = Callable[[str], None]  # called with a line for people
JOB, STAGING = "convert", ".p2i_convert_"
LAST = ("model_index.json", "config.json")  # of a pipeline, and of any other model
SINGLE = (".safetensors", ".ckpt")
# The weights' names as transformers and diffusers give them, whole, in a variant or in parts; and the list of parts.
_BIN = re.compile(r"(pytorch_model|diffusion_pytorch_model)((?:[.-][\w-]+)*)\.bin")
_INDEX = re.compile(r"(pytorch_model|diffusion_pytorch_model)\.bin\.index((?:\.\w+)?)\.json")
LEFT_OUT = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5", ".onnx", ".onnx_data", ".xml", ".ot", ".py")
# What becomes the parts' tensors, one by one. OpenCLIP's text towers (cond_stage_model.model, and the second of
# conditioner.embedders) are split by diffusers.
_ORIGINAL = {
    "unet": re.compile(r"model\.diffusion_model\.(time_embed|label_emb|input_blocks|middle_block|output_blocks|out)\."),
    "vae": re.compile(r"first_stage_model\.(encoder|decoder|quant_conv|post_quant_conv)\."),
    "text_encoder": re.compile(
        r"(cond_stage_model|conditioner\.embedders\.0)\.transformer\."
        r"(text_model\.)?(embeddings|encoder|final_layer_norm)\.(?!position_ids$)"
    ),
}
_OTHER_CONFIG = "give config= a folder of the same architecture, or fetch the file again"
SAFETY = ("safety_checker", "feature_extractor")  # parts of a pipeline that this package has no use for


def convert(source: str, out: str, *, config: str | None, tell: Tell) -> None:
    """Write a model folder with safetensors weights alone.

    Args:
        source: location of a folder whose weights are pickled, or of a pipeline in a single file on this machine.
        out: location of the new folder.
        config: location of a folder of the same architecture, whose configuration a single file needs.
        tell: called with a line for each file that is converted or left out.

    Raises:
        UserError: the source isn't there, can't be read or holds more than tensors, or out is there already.
    """
    kind = locations.kind(source)
    if kind is None:
        raise UserError(f"in={source} is not there; check the path")
    job_output.check(out, JOB)
    with _published(out) as local:
        if kind == "directory":
            with folders.local_folder(source) as folder:
                _convert_folder(Path(folder), local, tell)
        else:
            _take_apart(source, local, config, tell)
        if not any(local.rglob("*.safetensors")):
            raise UserError(f"in={source} has no weights that this job knows: *.bin, *.ckpt or *.safetensors")


@contextmanager
def _published(out: str) -> Iterator[Path]:
    """Provide an empty local folder whose content is at `out` when the block has ended well.

    On this machine it is written beside `out` and renamed: an interrupted conversion leaves no folder that looks whole.
    In an empty folder that is there, which may be a volume of its own, the parts are renamed. There and in a bucket the
    same job goes on in a folder that an interruption left.
    """
    there = not locations.is_uri(out) and Path(out).is_dir()
    beside = None if locations.is_uri(out) else Path(out) if there else Path(out).parent
    with job_output.held(out, JOB) if there else nullcontext():
        if there:
            _clear(out)
        try:
            if beside:
                beside.mkdir(parents=True, exist_ok=True)
            staging = tempfile.TemporaryDirectory(prefix=STAGING, dir=beside)
        except OSError as error:
            raise UserError(f"out={out} can't be written: {reason(error)}; give another folder") from error
        with staging as scratch:
            local = Path(scratch, "model")
            local.mkdir()
            yield local
            if there:
                for part in sorted(local.iterdir()):
                    part.rename(Path(out, part.name))
            elif beside:
                local.rename(out)
            else:
                _upload(local, out)


def _clear(out: str) -> None:
    """Remove what this job left unfinished in a folder that it holds."""
    for name in folders.entries(out).keys() - {job_output.MARKER, lease.FILE}:
        locations.remove(locations.join(out, name))


def _upload(local: Path, out: str) -> None:
    """Copy a folder to a bucket; the file that a model is recognised by comes last, so that no part is taken for it."""
    with job_output.held(out, JOB):
        _clear(out)
        folders.put_folder(str(local), out, last=LAST)


def unpickle(source: Path, target: Path) -> None:
    """Turn a file of pickled weights into safetensors, in a process of its own.

    Raises:
        UserError: it can't be read, or holds more than tensors.
    """
    command = [sys.executable, "-m", "p2i_ray.diffusion.model.unpickle", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"its reader ended with exit code {done.returncode}"])[-1]
        if done.returncode == NOT_WRITTEN:
            raise UserError(f"{source} can't be converted: the result can't be written ({said}); free some room")
        raise UserError(f"{source} can't be converted: {said}; fetch it again, or get safetensors from its publisher")


def _convert_folder(source: Path, out: Path, tell: Tell) -> None:
    is_pipeline = (source / "model_index.json").exists()
    for name in sorted(_files(source)):
        if not (is_pipeline and name.split("/")[0] in SAFETY):
            Path(out, name).parent.mkdir(parents=True, exist_ok=True)
            _convert_file(source / name, Path(out, name).parent, name, tell)
    if is_pipeline:
        _drop_safety(out / "model_index.json")


def _files(source: Path) -> Iterator[str]:
    """The files below a model folder; a part may be a link to another model's."""
    yield from folders.files_below(str(source))
    for part in source.iterdir():
        if part.is_symlink() and part.is_dir():
            yield from (f"{part.name}/{name}" for name in folders.files_below(str(part)))


def _convert_file(path: Path, folder: Path, name: str, tell: Tell) -> None:
    if not path.exists():
        raise UserError(f"{path} is a link to {path.readlink()}, which is not there; fetch the model again")
    if found := _BIN.fullmatch(path.name):
        safe = _safe(found[1], found[2])
        if path.with_name(safe).exists():
            tell(f"{name}: left out, {safe} is there")
            return
        unpickle(path, folder / safe)
        tell(f"{name} -> {safe}")
    elif found := _INDEX.fullmatch(path.name):
        index = f"{_safe(found[1])}.index{found[2]}.json"
        if not path.with_name(index).exists():
            Path(folder, index).write_text(_converted_index(path), "utf-8")
    elif path.suffix in LEFT_OUT:
        tell(f"{name}: left out, no job reads it")
    else:
        if path.suffix == ".safetensors":
            safetensors_header.read(str(path))
        shutil.copyfile(path, folder / path.name)


def _safe(name: str, rest: str = "") -> str:
    """The name in safetensors of a file of pickled weights; transformers' have another one."""
    return f"{weight_files.TRANSFORMERS if name == 'pytorch_model' else name}{rest}.safetensors"


def _converted_index(path: Path) -> str:
    """The index of sharded weights, with the names of the converted files."""
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        named = {
            key: _BIN.sub(lambda found: _safe(found[1], found[2]), file) for key, file in values["weight_map"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is no index of weights; fetch it again") from None
    return json.dumps({**values, "weight_map": named}, indent=2) + "\n"


def _drop_safety(index: Path) -> None:
    parts = validation.read_config(str(index))
    kept = {name: [None, None] if name in SAFETY else part for name, part in parts.items()}
    index.write_text(json.dumps({**kept, "requires_safety_checker": False}, indent=2) + "\n", "utf-8")


def _take_apart(source: str, out: Path, config: str | None, tell: Tell) -> None:
    """Write the parts of a pipeline that is one file."""
    if locations.is_uri(source):
        raise UserError(f"in={source} is a single file in a bucket; copy it to this machine first")
    if not source.endswith(SINGLE):
        raise UserError(f"in={source} is none of {', '.join(SINGLE)}")
    if weight_files.is_lora(source):
        raise UserError(f"in={source} is a LoRA, no pipeline; add it to the model that it was trained on first")
    if config is None:
        raise UserError(
            f"in={source} is a single file, which says nothing of its architecture; add config=FOLDER, a model folder "
            "of the same kind: its configuration, tokenizer and scheduler are taken, and none of its weights"
        )
    family = validation.check_kind(config)
    with tempfile.TemporaryDirectory(prefix="p2i_single_") as scratch, folders.local_folder(config) as folder:
        file = Path(source)
        if file.suffix != ".safetensors":
            file = Path(scratch, "weights.safetensors")
            unpickle(Path(source), file)
        tensors = safetensors_header.read(str(file))
        pipeline = _pipeline(source, file, Path(folder), family=family, dtype=_dtype(source, tensors))
        _check_whole(source, tensors, pipeline)
        pipeline.save_pretrained(out, safe_serialization=True)
    tell(f"{posixpath.basename(source)} -> {', '.join(sorted(path.name for path in out.iterdir() if path.is_dir()))}")


def _dtype(source: str, tensors: Mapping[str, Tensor]) -> str:
    """The type to keep a file's weights in, as torch names it: its own if it has one, else float32."""
    for name, tensor in tensors.items():
        if name.endswith(".weight") and tensor.dtype not in shapes.TYPES:
            raise UserError(f"in={source}: {name} is stored as {tensor.dtype}; get weights as F32, F16 or BF16")
    found = {tensor.dtype for tensor in tensors.values() if tensor.dtype in shapes.TYPES}
    return {"F16": "float16", "BF16": "bfloat16"}.get(found.pop(), "float32") if len(found) == 1 else "float32"


def _pipeline(source: str, file: Path, config: Path, *, family: Family, dtype: str) -> Any:
    """The pipeline that diffusers makes of a single file."""
    import diffusers
    import torch
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    load: Any = getattr(diffusers, family.pipeline).from_single_file
    without: dict[str, Any] = dict.fromkeys(SAFETY) if family is families.STABLE_DIFFUSION else {}
    failures = (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError, SingleFileComponentError)
    try:
        pipeline = load(
            str(file), config=str(config), local_files_only=True, torch_dtype=getattr(torch, dtype), **without
        )
    except failures as error:
        raise UserError(
            f"{source} can't be taken apart with the configuration of {config}: {one_line(error)}"
        ) from error
    if without:
        pipeline.register_to_config(requires_safety_checker=False)
    return pipeline


def _check_whole(source: str, tensors: Mapping[str, Tensor], pipeline: Any) -> None:
    """Check that each tensor of a single file has gone into a part, and each part is filled.

    diffusers drops what the configuration has no place for, and leaves without content what the file lacks.

    Raises:
        UserError: the configuration is of another architecture.
    """
    for part, network in pipeline.components.items():
        if not hasattr(network, "state_dict"):
            continue
        state, pattern = network.state_dict(), _ORIGINAL.get(part)
        empty = next((name for name, value in state.items() if value.is_meta), None)
        given = sum(1 for name in tensors if pattern and pattern.match(name))
        if empty is not None:
            raise UserError(f"in={source} has nothing for {part}'s {empty}; {_OTHER_CONFIG}")
        if given and given != len(state):
            raise UserError(
                f"in={source} has {given} tensors for the {part}, and by its configuration it has {len(state)}; "
                f"{_OTHER_CONFIG}"
            )
