"""The flaws that a critique may name: a fixed list, so that they can be counted."""

FLAWS: tuple[str, ...] = ("wrong scene", "plain background", "text overlay", "clutter", "blur")
