"""Training on Ray Train and DeepSpeed: launch, loop, ingest, checkpoints, tracking."""
