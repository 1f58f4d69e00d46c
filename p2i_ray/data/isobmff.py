"""The boxes of an AVIF or HEIC file: the colours that it states by numbers (the nclx kind of a colr box), its end."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

DEEPEST = 10_000  # boxes of one level that are looked at


class Code(NamedTuple):
    """Colours as ITU-T H.273 numbers them."""

    primaries: int
    transfer: int


def colour_code(encoded: bytes) -> Code | None:
    """The code of the file's main picture; none if it has none, or the file is of another kind or broken."""
    try:
        meta = next(content for kind, content in _boxes(encoded) if kind == b"meta")[4:]
        inside = dict(_boxes(meta))
        properties = dict(_boxes(inside[b"iprp"]))
        numbers = _properties_of(_main_item(inside[b"pitm"]), properties[b"ipma"])
        listed = list(_boxes(properties[b"ipco"]))
        for number in numbers:
            kind, content = listed[number - 1]
            if kind == b"colr" and content[:4] == b"nclx":
                return Code(*struct.unpack(">HH", content[4:8]))
    except (StopIteration, KeyError, IndexError, struct.error):
        return None
    return None


def last_box(encoded: bytes) -> bytes:
    """The content of a file's last box, as far as it is there; empty if there is none. Zeros behind it are no box."""
    found = b""
    for kind, content in _boxes(encoded):
        found = content if any(kind) else found
    return found


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box."""
    place = 0
    for _ in range(DEEPEST):
        if place + 8 > len(content):
            return
        size, kind = struct.unpack(">I4s", content[place : place + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", content[place + 8 : place + 16])[0], 16
        end = len(content) if size == 0 else place + size
        if end < place + head:
            return
        yield kind, content[place + head : end]
        place = end


def _main_item(pitm: bytes) -> int:
    return int(struct.unpack(">H" if pitm[0] == 0 else ">I", pitm[4 : 6 if pitm[0] == 0 else 8])[0])


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """The numbers of an item's properties, from 1 on."""
    wide_ids, wide_numbers = ipma[0] >= 1, bool(ipma[3] & 1)
    (count,) = struct.unpack(">I", ipma[4:8])
    place = 8
    for _ in range(min(count, len(ipma))):
        length = 4 if wide_ids else 2
        (found,) = struct.unpack(">I" if wide_ids else ">H", ipma[place : place + length])
        place += length
        amount, place = ipma[place], place + 1
        step = 2 if wide_numbers else 1
        numbers = [int.from_bytes(ipma[at : at + step], "big") for at in range(place, place + amount * step, step)]
        if found == item:
            return [number & (0x7FFF if wide_numbers else 0x7F) for number in numbers]
        place += amount * step
    return []
