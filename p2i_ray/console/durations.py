"""Durations as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds in the two largest units that apply, e.g. "1 h 1 min"; below ten seconds with one decimal."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    shown = [f"{value} {unit}" for value, unit in parts[:2] if value]
    return " ".join(shown) or "0 s"
