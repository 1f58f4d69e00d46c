"""Run benchmarks and write their figures into bench.json: `python -m bench [NAME …]`.

A benchmark is a module of this package with `run() -> dict[str, float]`. It runs both sides of a comparison in one
go, and its figures join those already in bench.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

from bench.tables import as_lines

DEFAULT = ("judge", "memory", "cascade", "train", "loop", "arms", "serve", "autoscaling", "ingest", "compositing")
# More than five minutes, or of a run that must be there: run where they are named.
LONG = ("ingest_driver", "scale", "full_size", "styles", "approved", "overload")
NAMES = (*DEFAULT, *LONG)
OUT = Path("bench.json")


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(NAMES)}; none: all but {', '.join(LONG)}",
    )
    names = parser.parse_args().names or list(DEFAULT)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    figures = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name in names:
        found = importlib.import_module(f"bench.{name}").run()
        figures.update(found)
        OUT.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
        print(as_lines(found), flush=True)


if __name__ == "__main__":
    main()
