"""From checked samples to rows of a table, whoever answers: a vLLM engine, or a hosted endpoint.

Both are Ray Serve deployments with the method `ask`; each brings replies, and `answer` does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.parsing import ReplyError
from p2i_ray.judge.requests.tasks import JudgeTask, Reply

FATAL = "fatal"


class Sample(NamedTuple):
    """What is asked about: checked, so that only the judge itself can refuse it."""

    name: str
    picture: bytes  # encoded; opaque RGB


class RequestRefused(Exception):  # noqa: N818 (an answer too)
    """One question can't be answered; the text is the reason that its row is set aside with."""


async def parse_replies(asker: JudgeTask, replies: Iterable[Awaitable[Reply]]) -> list[dict[str, Any]]:
    """Wait for all replies and read them.

    Args:
        asker: how to read them.
        replies: each raises Refused if there is none.

    Returns:
        For each the columns of asker.schema without id; `error` is null where the sample was judged. Where a reply
        raised UserError, which ends the job, FATAL is true: the others' answers, which may have been paid for, are
        there all the same.
    """
    return list(await asyncio.gather(*(_answer(asker, reply) for reply in replies)))


async def _answer(asker: JudgeTask, reply: Awaitable[Reply]) -> dict[str, Any]:
    empty = {name: None for name in asker.schema.names if name != "id"}
    try:
        return {**empty, **asker.columns(await reply)}
    except (RequestRefused, ReplyError) as reason:
        return {**empty, "error": str(reason)}
    except UserError as end:
        return {**empty, "error": str(end), FATAL: True}
