"""`python -m p2i_ray.report RUN_DIR` writes RUN_DIR/report.html."""

from __future__ import annotations

import sys

from p2i_ray.errors import UserError
from p2i_ray.report.build import write

if __name__ == "__main__":
    try:
        print(write(sys.argv[1] if len(sys.argv) > 1 else "runs/mini"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
