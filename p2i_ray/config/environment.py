"""Environment variables of the driver and of every worker."""

from __future__ import annotations

# Read when the libraries are imported, on the driver and in every worker.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # weights are paths; nothing is downloaded
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # more threads than free cores slow a step a hundredfold
    # An S3 bucket that answers 503 is asked again for about half a minute; botocore's own five attempts take seconds.
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "7",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread that goes on after Ray was left would start another cluster
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report waits for the next check: 2 s by default
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray's C++ core logs internals to the terminal
    "RAY_task_oom_retries": "4",  # of a task that Ray's memory monitor ended: for ever by default
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",  # Ray lists its logs' folder twice a second, and not ten times
    # Most processes of a judge and of a dataset only wait; by default Ray warns of eight on two cores.
    "RAY_worker_maximum_startup_concurrency": "4",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker without a GPU leaves CUDA_VISIBLE_DEVICES alone
}
