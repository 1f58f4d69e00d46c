"""From replies to rows of a table, for both kinds of engine: vLLM and a hosted endpoint.

Both are Ray Serve deployments with the method `ask`; each produces replies, and `parse_replies` does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from p2i_ray.errors import UserError
from p2i_ray.judge.requests.parsing import ReplyError
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

FATAL = "fatal"  # key of an answer whose error ends the job


class Sample(NamedTuple):
    """A product's name and picture, checked: only the judge itself can still refuse them."""

    name: str
    picture: bytes  # encoded; opaque RGB
    cutout: bytes | None = None  # the same; none: not shown


class Asked(NamedTuple):
    """A request on its way."""

    request: ChatRequest
    reply: Awaitable[Reply]  # raises RequestRefused where there is none


class RequestRefused(Exception):  # noqa: N818  # an outcome of a request, not a fault of the program
    """One request can't be answered; the text is the reason why its row is set aside."""


async def parse_replies(
    task: JudgeTask, asked: Iterable[Asked], send: Callable[[ChatRequest], Awaitable[Reply]]
) -> list[dict[str, Any]]:
    """Wait for all replies and parse them; ask once more for the verdict where a reason or comment was too long.

    Args:
        task: makes requests, and parses a reply into columns.
        asked: the requests.
        send: sends another request; raises RequestRefused.

    Returns:
        For each reply the columns of task.schema without id; `error` is null where the sample was judged. FATAL is
        true where a reply raised UserError, which ends the job; the other answers, which may have been paid for, are
        returned all the same.
    """
    return list(await asyncio.gather(*(_answer(task, one, send) for one in asked)))


async def _answer(task: JudgeTask, asked: Asked, send: Callable[[ChatRequest], Awaitable[Reply]]) -> dict[str, Any]:
    empty = {name: None for name in task.schema.names if name != "id"}
    try:
        reply = await asked.reply
        rest = task.rest(asked.request, reply) if reply.truncated else None
        return {**empty, **task.columns(reply, await send(rest) if rest else None)}
    except (RequestRefused, ReplyError) as error:
        return {**empty, "error": str(error)}
    except UserError as error:
        return {**empty, "error": str(error), FATAL: True}
