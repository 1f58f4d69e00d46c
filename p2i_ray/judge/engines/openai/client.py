"""The judge at a hosted endpoint: the same questions as to one's own engines, over OpenAI's chat protocol.

One replica serves a job, so that requests and dollars are counted in one place. Whose fault a failure is decides what
happens: wrong settings end the job at once; a row that the endpoint refuses is set aside; an endpoint that fails ends
the job if it never answered or has stopped answering, and else costs the row.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Any

from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.lifetime import exit_with_driver
from p2i_ray.judge.engines.openai.budget import Budget
from p2i_ray.judge.engines.openai.endpoint import Choice, Completion, Endpoint, Failure, Token
from p2i_ray.judge.engines.openai.rate_limit import Clock
from p2i_ray.judge.requests.answers import FATAL, RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step, digit_step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

if TYPE_CHECKING:
    from ray.actor import ActorHandle

PATIENCE = 8  # failures in a row, or rows at the start of which none could be judged, before the job ends
NEVER = -9000.0  # OpenAI and vLLM write log-probabilities of nearly nothing as -9999
MEDIA = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
# Control words of common chat templates, which some servers take out of plain text.
CONTROL = re.compile(r"<(?=\||/?s>|/?image>|(?:start|end)_of_|bos>|eos>)|\[(?=/?(?:INST|IMG)\])")


class OpenAIEngine:
    """One endpoint's client, as Serve's replica in place of `engine.Engine`."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: JudgeConfig,
        limits: ImageConfig | None = None,
        seed: int = 0,
        application: str = "",
        owner: ActorHandle | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the client; nothing is asked yet.

        Args:
            settings: the judge's; `model` is the model's name at the endpoint.
            limits: of pictures, which come checked: not used.
            seed: of the waits between tries.
            application: the Serve application that this replica belongs to.
            owner: an actor that lives as long as the driver; when it is gone, the application removes itself.
            clock: time.

        Raises:
            UserError: there is no endpoint, or no key for it.
        """
        if not settings.hosted.url:
            raise UserError("judge.hosted.url isn't set; give the endpoint's base URL, e.g. https://api.openai.com/v1")
        self._settings = settings.hosted
        self._endpoint = Endpoint(settings.hosted, settings.model, seed, clock)
        self._spending = Budget(settings.hosted)
        self._room = asyncio.Semaphore(settings.hosted.max_concurrent_requests)
        self._first = asyncio.Lock()
        self._answered = False  # ever
        self._failures = 0  # of the endpoint, in a row
        self._judged = self._set_aside = 0  # rows
        self._end: str | None = None  # why the job must end
        if owner:
            self._following = asyncio.create_task(exit_with_driver(owner, application))

    async def ask(self, asker: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Ask about every sample; see `answering.answer`.

        Raises:
            UserError: the job can't go on: the endpoint fails or knows no such model or key, the money is spent, or
                none of the first rows could be judged.
        """
        self._spending.admit(len(samples))
        rows = await parse_replies(asker, [self._admitted(asker.question(*sample)) for sample in samples])
        ends = [row["error"] for row in rows if row.get(FATAL)]
        if ends and all(row["error"] for row in rows):
            raise UserError(ends[0])
        if ends:
            return rows  # some were answered, and paid for
        errors = [row["error"] for row in rows if row["error"]]
        self._judged += len(rows) - len(errors)
        self._set_aside += len(errors)
        if not self._judged and self._set_aside >= PATIENCE:
            raise UserError(
                f"judge.hosted.url={self._settings.url}: none of the first {self._set_aside} rows could be judged; "
                f"the last: {errors[-1]}"
            )
        return rows

    async def reply(self, question: ChatRequest) -> Reply:
        """Answer one question, with a picture or without.

        Raises:
            Refused: the endpoint can't.
            UserError: see `ask`.
        """
        self._spending.admit(1)
        return await self._admitted(question)

    def facts(self) -> dict[str, float]:
        """Since the start: requests (tries included), retries, input_tokens, output_tokens, usd."""
        endpoint, spending = self._endpoint, self._spending
        return {
            "requests": endpoint.requests,
            "retries": endpoint.retries,
            "input_tokens": spending.input_tokens,
            "output_tokens": spending.output_tokens,
            "usd": spending.usd,
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    async def _admitted(self, question: ChatRequest) -> Reply:
        try:
            if not self._answered:
                async with self._first:  # one at a time, until it is known that and at what price it answers
                    if not self._answered:
                        return await self._reply(question)
            return await self._reply(question)
        finally:
            self._spending.done()

    async def _reply(self, question: ChatRequest) -> Reply:
        async with self._room:
            if self._end:
                raise UserError(self._end)
            self._spending.check()
            try:
                completion = await self._endpoint.complete(self._request(question))
                self._pay(completion)
                reply = self._read(completion.choices[0], question)
            except Failure as found:
                failure = found
            else:
                self._answered, self._failures = True, 0
                return reply
        raise self._verdict(failure)

    def _verdict(self, failure: Failure) -> UserError | RequestRefused:
        """Whether the job ends or only the row is set aside."""
        if failure.fault == "row" and self._answered:
            self._failures = 0  # the endpoint itself is well
            return RequestRefused(f"the endpoint {failure}")
        self._failures += 1
        ends = {
            "settings": True,
            "endpoint": not self._answered or self._failures >= PATIENCE,
            "row": self._failures >= PATIENCE,  # it refuses whatever it is asked
        }
        if not ends[failure.fault]:
            return RequestRefused(f"the endpoint {failure}")
        self._end = f"judge.hosted.url={self._settings.url} {failure}"
        return UserError(self._end)

    def _pay(self, completion: Completion) -> None:
        if completion.usage:
            self._spending.add(completion.usage.prompt_tokens, completion.usage.completion_tokens)
        elif self._settings.max_usd is not None:
            advice = "leave that out, or use another endpoint"
            raise Failure(
                f"doesn't say how many tokens a request used, so judge.hosted.max_usd can't be kept; {advice}",
                "settings",
            )

    def _request(self, question: ChatRequest) -> dict[str, Any]:
        """The question in OpenAI's words."""
        settings = self._settings
        request: dict[str, Any] = {
            "messages": [_message(message) for message in question.messages],
            "temperature": 0,
            settings.length_key: question.max_tokens,
        }
        if question.probabilities and settings.logprobs:
            request |= {"logprobs": True, "top_logprobs": settings.top_logprobs}
        if settings.constraint == "vllm" and question.choice:
            request["extra_body"] = {"structured_outputs": {"choice": list(question.choice)}}
        elif settings.constraint == "vllm" and question.form:
            request["extra_body"] = {"structured_outputs": {"grammar": question.form}}
        elif settings.constraint == "json_schema" and question.json_schema:
            form = {"name": "reply", "strict": True, "schema": question.json_schema}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        return request

    def _read(self, choice: Choice, question: ChatRequest) -> Reply:
        """The reply, or a Failure that says why it is none."""
        message = choice.message
        if message.refusal or message.content is None or choice.finish_reason == "content_filter":
            why = self._endpoint.cleaned(message.refusal or f"no text, finish reason {choice.finish_reason}")
            self._answered = True  # as the protocol wants it
            raise Failure(f"refuses to judge it ({why})", "row")
        step = None
        if question.probabilities and self._settings.logprobs:
            if choice.logprobs is None or not choice.logprobs.content:
                advice = "set judge.hosted.logprobs=false and idr.threshold_on=score, or use another model"
                raise Failure(f"tells no probabilities, which judge.hosted.logprobs asks for; {advice}", "endpoint")
            step = digit_step(Step(token.token, _alternatives(token)) for token in choice.logprobs.content)
        return Reply(message.content, choice.finish_reason == "length", step)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its pictures as data URLs; one without pictures as plain text, which every server understands."""
    parts = [_part(part) for part in message["content"]]
    if all(part["type"] == "text" for part in parts):
        return {"role": message["role"], "content": "\n".join(part["text"] for part in parts)}
    return {"role": message["role"], "content": parts}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "image":
        return {"type": "image_url", "image_url": {"url": data_url(part["image"])}}
    if part["type"] == "text":
        return {"type": "text", "text": CONTROL.sub(lambda found: f"{found[0]} ", part["text"])}
    raise ValueError(f"a message's part is a text or an image, not {part['type']!r}")


def data_url(picture: bytes) -> str:
    """An encoded picture as a data URL; what it is says its first bytes."""
    media = next((media for start, media in MEDIA if picture.startswith(start)), None)
    if media is None:
        raise ValueError("a picture for the endpoint is PNG, JPEG or WebP")
    return f"data:{media};base64,{base64.b64encode(picture).decode()}"


def _alternatives(token: Token) -> list[tuple[str, float]]:
    """The token's alternatives, itself among them."""
    found = [(other.token, other.logprob) for other in token.top_logprobs]
    if token.token not in (other for other, _ in found):
        found.append((token.token, token.logprob))
    return [(other, log) for other, log in found if log > NEVER]
