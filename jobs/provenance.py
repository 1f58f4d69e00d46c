"""Say what pictures' files tell of their making: IPTC's digital source type, and whether a C2PA manifest holds.

    python jobs/provenance.py FILE [FILE …]

PNG, JPEG and WebP. Exits with 0 if every file is marked as made by a model and unchanged since, with 1 otherwise.
Nothing is fetched: who signed is known by the certificates of the file alone, so a signer that C2PA's trust list would
know is shown as not known.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from p2i_ray.errors import UserError
from p2i_ray.provenance.reading import Report, read

STATES = {
    "none": "there is none",
    "changed": "does NOT hold: the file was changed after it was signed, or its manifest is broken",
    "expired": "the file is as it was signed, by a certificate that is out of date now, so that it proves nothing",
    "signed": "holds; the file is as it was signed. The signer is not on a trust list",
    "trusted": "holds; the file is as it was signed, by a trusted signer",
}


def lines(report: Report) -> list[str]:
    """A file's report for people."""
    found = [("digital source type", report.source_type or "not in XMP"), ("C2PA manifest", STATES[report.state])]
    if report.claimed and report.claimed != report.source_type:
        found.append(("in the manifest", report.claimed))
    found += [("signed by", report.signer)] if report.signer else []
    found += [("made by", report.software)] if report.software else []
    found += [(name, str(value)) for name, value in report.facts.items()]
    found += [("problem", problem) for problem in report.problems]
    return [f"  {name:<20} {value}" for name, value in found]


def main() -> int:
    """Print a report for each file; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a picture")
    every = True
    for file in parser.parse_args().files:
        print(file)
        try:
            report = read(file.read_bytes())
        except (UserError, OSError) as error:
            print(f"error: {file}: {error.strerror if isinstance(error, OSError) else error}", file=sys.stderr)
            every = False
            continue
        print("\n".join(lines(report)))
        every = every and bool(report.source_type) and report.state in ("signed", "trusted")
    return 0 if every else 1


if __name__ == "__main__":
    raise SystemExit(main())
