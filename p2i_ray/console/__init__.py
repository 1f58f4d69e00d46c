"""The command line, logs and progress of jobs."""
