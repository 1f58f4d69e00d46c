"""The flaws of judge.flaws in the prompt of a critique."""

from __future__ import annotations

from collections.abc import Sequence

from p2i_ray.config.flaws import SEPARATOR, name_of
from p2i_ray.errors import UserError
from p2i_ray.judge.requests.prompts import Prompt


def names(flaws: Sequence[str]) -> tuple[str, ...]:
    """The names that replies may have, in the list's order."""
    return tuple(map(name_of, flaws))


def listed(flaws: Sequence[str]) -> str:
    """The list as the prompt shows it in place of `$flaws`, one flaw a line."""
    return "\n".join(f"{flaw}." if SEPARATOR in flaw else flaw for flaw in flaws)


def check(prompt: Prompt, flaws: Sequence[str]) -> None:
    """Check that the judge is told of every flaw that has a meaning, be it by `$flaws` or in the prompt's own words.

    Raises:
        UserError: a flaw isn't named; the judge would have to choose from names that it doesn't know.
    """
    if "$flaws" in prompt.system or "${flaws}" in prompt.system:
        return
    for flaw in flaws:
        if SEPARATOR in flaw and name_of(flaw) not in prompt.system + prompt.user:
            raise UserError(
                f"critique.yaml of judge.prompts names no {name_of(flaw)!r}, which is in judge.flaws; put $flaws into "
                "its system text where the list belongs, or set judge.flaws to what it names"
            )
