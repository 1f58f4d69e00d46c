"""Fetch model folders from the Hugging Face hub: the one place of this project that does.

What a folder needs is chosen by the files' names: configuration, tokenizer and safetensors, in full precision if there
is such, else in one variant. What was fetched is compared with the hub's own checksums. The commit is kept in the
folder, and a later call takes the same one.
"""

from __future__ import annotations

import glob
import json
import os
import posixpath
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import folders

RECORD = ".fetched.json"  # in the folder: repository, commit, files, and whether all of them are there
SMALL = (".json", ".txt", ".model", ".jinja", ".md")  # of configurations, tokenizers, licences
UNUSED = ("safety_checker", "feature_extractor", "onnx", "openvino", "flax")  # parts that no job reads
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# NAME.safetensors, NAME.fp16.safetensors, NAME-00001-of-00002.safetensors, NAME.fp16-00001-of-00002.safetensors
_WEIGHTS = re.compile(r"(?P<name>[\w-]+?)(?:\.(?P<variant>\w+))?(?P<part>-\d{5}-of-\d{5})?\.safetensors")
_INDEX = re.compile(r"(?P<name>[\w-]+)\.safetensors\.index(?:\.(?P<variant>\w+))?\.json")
VARIANTS = ("", "fp16", "bf16")  # in the order of preference; empty: the files without a variant's name


@dataclass(frozen=True)
class Source:
    """The origin of a folder.

    Attributes:
        repository: OWNER/NAME on the hub.
        revision: a commit, tag or branch; empty: the one that is recorded in the folder, else main.
    """

    repository: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read OWNER/NAME or OWNER/NAME@REVISION.

        Raises:
            UserError: it is neither.
        """
        repository, _, revision = text.partition("@")
        if not _REPOSITORY.fullmatch(repository):
            raise UserError(f"{text!r} is no repository of the hub; write OWNER/NAME or OWNER/NAME@COMMIT")
        return cls(repository, revision)


@dataclass(frozen=True)
class Listing:
    """The files of a repository at a commit that a folder needs.

    Attributes:
        source: the repository, and its commit as revision.
        sizes: bytes of each file, by its path.
    """

    source: Source
    sizes: Mapping[str, int]

    def missing_bytes(self, folder: Path) -> int:
        """The bytes that are not in the folder yet, by the files' sizes."""
        return sum(size for name, size in self.sizes.items() if not _has(folder / name, size))


def choose(names: Iterable[str]) -> list[str]:
    """The files of a repository that a model folder needs, sorted.

    Raises:
        UserError: it has no safetensors weights.
    """
    by_folder: dict[str, list[str]] = {}
    for path in names:
        folder, name = posixpath.split(path)
        if folder.split("/")[0] not in UNUSED and not name.startswith("."):
            by_folder.setdefault(folder, []).append(name)
    is_pipeline = "model_index.json" in by_folder.get("", [])
    chosen = []
    for folder, inside in by_folder.items():
        single_files = is_pipeline and not folder  # beside a pipeline's parts lies the same in one file
        weights = [] if single_files else _weights(inside)
        small = [name for name in inside if _is_small(name) and not _INDEX.fullmatch(name)]
        chosen += [posixpath.join(folder, name) for name in (*weights, *small)]
    if not any(name.endswith(".safetensors") for name in chosen):
        raise UserError(
            "it has no safetensors weights; give another repository, or fetch it yourself and convert it: "
            "python jobs/convert.py"
        )
    return sorted(chosen)


def _is_small(name: str) -> bool:
    return name.endswith(SMALL) or name.upper().startswith(("LICENSE", "NOTICE"))


def _weights(names: Sequence[str]) -> list[str]:
    """The weights of one folder, and their index: of each name in one variant."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        if match := _WEIGHTS.fullmatch(name) or _INDEX.fullmatch(name):
            found.setdefault(match["name"], {}).setdefault(match["variant"] or "", []).append(name)
    if len(found) > 1:  # the same once more in another program's layout
        found.pop("consolidated", None)
    chosen = []
    for variants in found.values():
        known = [variant for variant in VARIANTS if variant in variants]
        chosen += variants[known[0]] if known else []
    return chosen


def listing(source: Source, folder: Path) -> Listing:
    """Ask the hub for the files that a folder needs.

    Raises:
        UserError: the folder holds something else, the hub or the repository can't be reached, or has no such revision
            or no safetensors weights.
    """
    hub = _library()
    _check_own(source.repository, folder)
    revision = source.revision or recorded(folder, source.repository) or "main"
    try:
        found = hub.HfApi().model_info(source.repository, revision=revision, files_metadata=True)
    except Exception as error:
        raise UserError(_complaint(f"{source.repository}@{revision}", error)) from error
    sizes = {one.rfilename: int(one.size or 0) for one in found.siblings or ()}
    try:
        chosen = choose(sizes)
    except UserError as error:
        raise UserError(f"{source.repository}@{revision}: {error}") from None
    return Listing(Source(source.repository, found.sha), {name: sizes[name] for name in chosen})


def fetch(found: Listing, folder: Path) -> None:
    """Fetch what a folder lacks, check all of it, and record the commit. An interrupted call goes on where it was.

    What an earlier commit had and this one hasn't is removed: of two layouts of weights the old one might be loaded.

    Raises:
        UserError: the folder can't be made, the hub fails, the disk has no room, or a file isn't what the hub says.
    """
    hub = _library()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} can't be made: {error.strerror}; give another folder") from error
    free = shutil.disk_usage(folder).free
    if (wanted := found.missing_bytes(folder)) > free:
        raise UserError(f"{folder} has {free / 1e9:.1f} GB free, and {wanted / 1e9:.1f} GB are to come; free some")
    source = found.source
    before = _record(folder).get("files", [])
    _write_record(folder, found, before, complete=False)
    try:
        hub.snapshot_download(
            source.repository,
            revision=source.revision,
            local_dir=folder,
            allow_patterns=[glob.escape(name) for name in found.sizes],
        )
        checked = hub.HfApi().verify_repo_checksums(source.repository, revision=source.revision, local_dir=folder)
    except Exception as error:
        raise UserError(_complaint(f"{source.repository}@{source.revision}", error)) from error
    # The hub's other files are not looked at: one of that name is the user's own.
    if wrong := sorted(one["path"] for one in checked.mismatches if one["path"] in found.sizes):
        for name in wrong:
            Path(folder, name).unlink()
        raise UserError(f"{folder}/{wrong[0]} isn't what the hub says, and is removed; run the same command again")
    if absent := sorted(name for name, size in found.sizes.items() if not _has(folder / name, size)):
        raise UserError(f"{folder}/{absent[0]} did not come; run the same command again")
    for name in {*before} - {*found.sizes}:
        Path(folder, name).unlink(missing_ok=True)
    _write_record(folder, found, (), complete=True)


def _write_record(folder: Path, found: Listing, before: Iterable[str], *, complete: bool) -> None:
    record = {
        "repository": found.source.repository,
        "revision": found.source.revision,
        "files": sorted({*found.sizes, *before}),
        "complete": complete,
    }
    Path(folder, RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def _check_own(repository: str, folder: Path) -> None:
    """Check that nothing is overwritten but what was fetched from the same repository.

    Raises:
        UserError: the folder is a file, or holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError("it is a file; give a folder")
    if recorded(folder, repository) is None and (other := next(folders.files_below(str(folder)), None)):
        raise UserError(
            f"it holds {other}, which was not fetched from {repository}, and would be overwritten; give a new folder, "
            "or take the repository's name out (hub.…=null) to use the folder as it is"
        )


def recorded(folder: Path, repository: str) -> str | None:
    """The commit that a folder was fetched at; none if it wasn't, or from another repository."""
    record = _record(folder)
    return str(record["revision"]) if record.get("repository") == repository and "revision" in record else None


def _record(folder: Path) -> dict[str, Any]:
    """The record in a folder; empty if there is none that can be read."""
    try:
        record = json.loads(Path(folder, RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _has(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _library() -> Any:
    """huggingface_hub with the network allowed; all other jobs forbid it."""
    if "huggingface_hub" not in sys.modules:
        os.environ["HF_HUB_OFFLINE"] = "0"
    import huggingface_hub

    return huggingface_hub


def _complaint(name: str, error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{name} asks for its licence to be accepted: do so on its page, and set HF_TOKEN to a token of yours"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{name}: the hub has no such repository, or it is private; check the name, or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name}: the repository has no such revision; check it"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{name} can't be fetched with HF_HUB_OFFLINE=1; unset it"
    return f"{name} can't be fetched: {one_line(error)}; run the same command again, it goes on where it was"
