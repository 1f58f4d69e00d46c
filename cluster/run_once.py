"""Run a RayJob's command so that KubeRay doesn't start new clusters for a user's mistake.

python cluster/run_once.py SUBMISSION_ID python jobs/idr.py --config a100x4 run_dir=… data=…

KubeRay starts a failed job again, on a new cluster, whatever its exit code; a stopped one it leaves alone. So when
the command ends with exit code 2, which says that it would fail again, this stops the job. Any other code is handed on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

USAGE = 2  # exit code of a user's mistake, in all jobs
STOPPING_S = 60


def run(command: Sequence[str], stop: Callable[[], None], stopping_s: float = STOPPING_S) -> int:
    """Run a command and return its exit code; after USAGE, call stop and wait to be ended from outside.

    Ray notes a job as stopped only if its process is still there when the request arrives.
    """
    code = subprocess.run(command, check=False).returncode
    if code == USAGE:
        print("the job is stopped, so that it isn't started again: correct what the error names first", flush=True)
        try:
            stop()
            time.sleep(stopping_s)
        except (RuntimeError, ConnectionError) as error:  # what the client raises when it gets no answer, or a refusal
            print(f"error: the job could not be stopped, so it will be started again: {error}", file=sys.stderr)
    return code


def stop_job(submission_id: str) -> None:
    """Ask the cluster on which this runs to stop a job."""
    from ray.job_submission import JobSubmissionClient

    JobSubmissionClient().stop_job(submission_id)


def main() -> None:
    """Run what the arguments say."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        raise SystemExit(USAGE)
    submission_id, command = sys.argv[1], sys.argv[2:]
    raise SystemExit(run(command, lambda: stop_job(submission_id)))


if __name__ == "__main__":
    main()
