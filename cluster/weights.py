"""Copy weights from a bucket to this node, where engines can read them: files that are there already are left alone.

python cluster/weights.py s3://bucket/models /opt/p2i_ray/models
"""

from __future__ import annotations

import argparse
import posixpath
import sys
from pathlib import Path

from p2i_ray.errors import UserError
from p2i_ray.storage import locations


def copy(source: str, target: Path) -> int:
    """Copy a folder's files that are missing below target or differ in length; returns how many.

    Raises:
        UserError: there is no such folder, or it is empty.
    """
    filesystem, root = locations.open_location(source)
    sizes = {name: int(found["size"]) for name, found in filesystem.find(root, detail=True).items()}
    if not sizes:
        raise UserError(f"{source} has no files; put the preset's model folders there")
    places = {name: target / posixpath.relpath(name, root) for name in sizes}
    missing = [name for name, place in places.items() if not (place.is_file() and place.stat().st_size == sizes[name])]
    for name in missing:
        places[name].parent.mkdir(parents=True, exist_ok=True)
    if missing:
        filesystem.get(missing, [str(places[name]) for name in missing])
    return len(missing)


def main() -> None:
    """Copy, and say how much; a mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder or URI (s3://, gs://) with one folder a model")
    parser.add_argument("target", type=Path, help="folder on this node")
    arguments = parser.parse_args()
    try:
        print(f"{copy(arguments.source, arguments.target)} files copied to {arguments.target}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
