"""jobs/provenance.py on files: what it prints, and its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.provenance.marker import Marker, encode

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)


def run(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "jobs/provenance.py", *map(str, files)], capture_output=True, text=True)


def test_marked_changed_plain_and_no_picture(tmp_path: Path) -> None:
    content = Marker(ProvenanceConfig(), "0123abcd").encode(PIXELS, "jpeg", seed=7)
    files = {name: tmp_path / name for name in ("marked.jpg", "changed.jpg", "plain.png", "text.txt", "missing.png")}
    files["marked.jpg"].write_bytes(content)
    files["changed.jpg"].write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    files["plain.png"].write_bytes(encode(PIXELS, "png"))
    files["text.txt"].write_text("no picture")

    good = run(files["marked.jpg"])
    assert (good.returncode, good.stderr) == (0, "")
    for told in ("compositeWithTrainedAlgorithmicMedia", "holds; the file is as it was signed", "0123abcd", "seed"):
        assert told in good.stdout

    found = run(*files.values())
    assert found.returncode == 1
    assert "does NOT hold" in found.stdout and "there is none" in found.stdout and "not in XMP" in found.stdout
    errors = found.stderr.splitlines()
    assert len(errors) == 2 and "text.txt: it is text, not a PNG, JPEG, WEBP picture" in errors[0]
    assert "missing.png: No such file or directory" in errors[1]
