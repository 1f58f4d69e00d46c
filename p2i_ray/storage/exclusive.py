"""Create a file only where there is none: the one thing that of two processes just one can do.

On a disk it is atomic. A bucket may do it (S3 with If-None-Match, GCS with a generation), its client may not know of
it, or the store ignores the condition without a word: whoever relies on it asks `is_honoured`, or looks after a while
whose content is there.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from p2i_ray.storage import locations

NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
REFUSED = (errno.EINVAL, errno.EBUSY)  # s3fs: 412 of stores that don't say which condition, and 409


def create(location: str, content: bytes) -> bool:
    """Write a file with its whole content unless there is one; its folder must exist on a disk.

    Returns:
        Whether it was written. A bucket's client that repeats a request whose answer was lost says False of its own
        file, so look whose content is there.

    Raises:
        NotImplementedError: the store's client can't do it.
    """
    if locations.is_uri(location):
        return _create_object(*locations.open_location(location), content)
    return _create_file(Path(locations.local_path(location)), content)


def is_honoured(location: str, content: bytes) -> bool:
    """Whether the store that holds this file refuses to create it again; if not, `content` is in it now."""
    return not create(location, content)


def _create_file(target: Path, content: bytes) -> bool:
    with locations.written_beside(target, content) as temporary:
        try:
            os.link(temporary, target)  # unlike a rename it fails where there is one
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            return _open_new(target, content)
        return True


def _open_new(target: Path, content: bytes) -> bool:
    """For disks without hard links: a reader may find a part of the content for a moment."""
    try:
        with target.open("xb") as out:
            out.write(content)
        return True
    except FileExistsError:
        return False


def _create_object(filesystem: Any, path: str, content: bytes) -> bool:
    try:
        filesystem.pipe_file(path, content, mode="create")
        return True
    except FileExistsError:
        return False
    except (ValueError, TypeError) as error:  # of a client that doesn't know this mode
        raise NotImplementedError from error
    except OSError as error:
        if error.errno in REFUSED and filesystem.exists(path):
            return False
        raise
