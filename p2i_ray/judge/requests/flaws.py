"""The fixed list of flaws that a critique may name, so that they can be counted."""

FLAWS: tuple[str, ...] = ("wrong scene", "plain background", "text overlay", "clutter", "blur")
