"""Write webdataset tars: the files of a sample share their name up to the first dot, and lie one behind the other."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence

from p2i_ray.data.exports.records import Record
from p2i_ray.errors import UserError
from p2i_ray.storage import locations


def write(records: Sequence[Record], location: str) -> None:
    """Write records as one tar: KEY.jpg (png, webp), KEY.cutout.png, and KEY.json with the texts.

    The same records give the same bytes.

    Raises:
        UserError: two of them have one id.
    """
    keys = [record.key for record in records]
    for key in {key for key in keys if keys.count(key) > 1}:
        raise UserError(f"two rows have the id {key}, and an export needs one each; jobs/stats.py counts repeated ids")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for record in records:
            if record.photo:
                _add(archive, f"{record.key}.{record.photo.suffix}", record.photo.content)
            _add(archive, f"{record.key}.cutout.{record.cutout.suffix}", record.cutout.content)
            texts = json.dumps(record.texts, ensure_ascii=False, sort_keys=True)
            _add(archive, f"{record.key}.json", texts.encode())
    locations.write_bytes(location, out.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
