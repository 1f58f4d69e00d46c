"""Files and folders on disks and in buckets."""
