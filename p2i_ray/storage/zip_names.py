"""The names of files in zips, which not all programs write as they should."""

from __future__ import annotations

UTF8 = 0x800  # an entry's flag: its name is UTF-8


def decoded(name: str, flag_bits: int) -> str:
    """An entry's name; some programs write UTF-8 without saying so, which zipfile takes for code page 437.

    Args:
        name: as zipfile has it.
        flag_bits: of the entry.
    """
    if flag_bits & UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name
