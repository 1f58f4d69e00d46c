"""The checksums of a data set's files, as `sha256sum --check` reads them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from p2i_ray.cluster.resources import READ
from p2i_ray.storage import digests, locations

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "SHA256SUMS"


class Checksum(NamedTuple):
    """A file and its content's checksum."""

    name: str  # below the data folder
    digest: str  # SHA-256, hexadecimal
    size: int  # bytes


def of_files(data: str, names: Sequence[str]) -> list[Checksum]:
    """Read files below a data folder on the workers; sorted by name. Ray must be connected."""
    import ray.data

    if not names:
        return []
    items = [{"location": locations.join(data, name), "name": name} for name in names]
    done = ray.data.from_items(items).map_batches(
        _of_batch,
        batch_format="pyarrow",
        batch_size=1,
        **READ.task_options(),
    )
    return sorted(Checksum(row["name"], row["digest"], row["size"]) for row in done.iter_rows())


def updated(data: str, names: Sequence[str]) -> list[Checksum]:
    """The checksums of a folder's files: of shards, which never change, those that SHA256SUMS has are taken over.

    Args:
        data: the folder; Ray must be connected.
        names: of all its files, below it.
    """
    listed = locations.join(data, FILE)
    lines = locations.read_text(listed).splitlines() if locations.exists(listed) else []
    known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    shards = [name for name in names if name in known and posixpath.basename(name).startswith("part-")]
    filesystem, _ = locations.open_location(data)
    sizes = {name: filesystem.size(locations.open_location(locations.join(data, name))[1]) for name in shards}
    old = [Checksum(name, known[name], sizes[name]) for name in shards]
    return sorted([*old, *of_files(data, sorted(set(names) - set(shards)))])


def of_file(location: str, name: str) -> Checksum:
    """Read one file, a piece at a time."""
    return Checksum(name, *digests.sha256(location))


def text(checksums: Sequence[Checksum]) -> str:
    """The content of SHA256SUMS."""
    return "".join(f"{one.digest}  {one.name}\n" for one in checksums)


def names(files: Mapping[str, Sequence[str]]) -> list[str]:
    """The names below a data folder of the files of its parts (split or rejected -> file names)."""
    return sorted(posixpath.join(part, file) for part, some in files.items() for file in some)


def _of_batch(batch: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([of_file(row["location"], row["name"])._asdict() for row in batch.to_pylist()])
