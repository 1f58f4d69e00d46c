"""Log lines say when, how grave, and at which step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# As a program, because a process sets its logging up once.
PROGRAM = """
import logging, threading
from p2i_ray.console import logs

logs.set_up()
log = logging.getLogger("somebody")

def in_parallel(own):
    if own:
        with logs.at("round 1/2 · measure"):
            log.warning("early")
    else:
        log.warning("of no step")

def from_a_thread(own):
    thread = threading.Thread(target=in_parallel, args=(own,))
    thread.start()
    thread.join()

log.warning("before")
with logs.at("round 2/2 · score"):
    log.warning("within")
    from_a_thread(own=True)
    from_a_thread(own=False)
log.info("not shown")
rope = logging.getLogger("transformers.modeling_rope_utils")
rope.warning("Missing validation function in 'RotaryEmbeddingConfigMixin' for 'rope_type'='axial'")
log.error("after")
"""


def test_lines_carry_the_step_of_their_thread_or_else_of_the_driver() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.partition(" ")[2] for line in ran.stderr.splitlines()]  # without the time
    assert lines == [
        "WARNING before",
        "WARNING round 2/2 · score: within",
        "WARNING round 1/2 · measure: early",
        "WARNING round 2/2 · score: of no step",
        "ERROR after",
    ]
