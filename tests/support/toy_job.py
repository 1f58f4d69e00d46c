"""A job as chaos sees it, in a second: `python toy_job.py RUN_DIR [WHERE_IT_HANGS]` does five steps, each once.

Without its folder's parent it ends with one line; on a full disk with a trace.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

STEPS = ("score", "select", "train", "generate", "critique")


def main(run_dir: str, hangs: str = "") -> None:
    for step in STEPS:
        manifest = Path(run_dir, "round-1", "steps", f"{step}.json")
        if not Path(run_dir).parent.exists():
            print(f"error: {run_dir} is away; give the same command again")
            raise SystemExit(2)
        if manifest.exists():
            continue
        print(f"round 1/1 · {step}", flush=True)
        time.sleep(1000 if step == hangs else 0.3)  # its work
        if not Path(run_dir).parent.exists():
            continue
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text("{}" * 4000)


if __name__ == "__main__":
    main(*sys.argv[1:])
