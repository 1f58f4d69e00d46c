"""The list of flaws that the judge may name, so that they can be counted: "name" or "name - what it means"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

SEPARATOR = " - "
GROWN_PRODUCT = "grown product"
CHANGED_PRODUCT, CHANGED_LABEL = "changed product", "changed label"
NOT_JUDGED = "not judged"
# What the truth report finds by measuring, and what has no verdict: reasons to refuse a picture beside the judge's.
MEASURED = (
    f"{CHANGED_PRODUCT} - its pixels or colours are not those that were sent",
    f"{GROWN_PRODUCT} - it goes on beyond its outline",
    f"{CHANGED_LABEL} - the text that is read on it is another",
    f"{NOT_JUDGED} - the judge gave no verdict",
)
MAX_NAME = 40  # characters
# What the built-in rubric judges, and what people labelled in RF1M, the published data set of generated advertisements
# (ECCV 2024): unsuitable, size mismatch, space mismatch (perspective, floating), shape hallucination (grown),
# indistinctiveness (lost).
DEFAULT = (
    "wrong scene - the place does not suit this product",
    "plain background - empty, or one flat colour",
    "text overlay - letters, prices, logos, badges, watermarks, borders or collages outside the product itself",
    "clutter - objects that distract from the product or make no sense",
    "blur - the background is soft, smeared or unfinished beyond a natural depth of field",
    "poor composition - colours, crop or arrangement displease the eye",
    "unreal - things melt, repeat, merge or end abruptly; it could not be photographed",
    "wrong light - light, shadows or reflections of product and background do not agree",
    "wrong scale - the product is too large or too small for what surrounds it",
    "wrong perspective - product and ground are seen from different angles",
    "floating - the product stands, lies or hangs on nothing",
    f"{GROWN_PRODUCT} - the background adds to the product: more parts, another outline",
    "lost product - the product can hardly be told from the background",
)


def name_of(flaw: str) -> str:
    """The name that is counted."""
    return flaw.partition(SEPARATOR)[0]


def find_mistake(flaws: Sequence[str]) -> str | None:
    """The reason why critiques can't be asked for these flaws; none: they can."""
    if not flaws:
        return 'the list is empty; name at least one flaw, e.g. ["clutter - objects that distract"]'
    for flaw in flaws:
        name = name_of(flaw)
        if name != name.strip() or not name or not flaw.isprintable() or len(name) > MAX_NAME:
            return f"the flaw {flaw!r} needs a name of 1 to {MAX_NAME} characters, then perhaps ' - ' and its meaning"
    name, times = Counter(map(name_of, flaws)).most_common(1)[0]
    return f"the flaw {name!r} is named {times} times; name each once" if times > 1 else None
