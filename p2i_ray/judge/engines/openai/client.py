"""The judge at a hosted endpoint: the same requests as to a vLLM engine, over OpenAI's chat completions API.

One replica serves a job, so that requests and dollars are counted in one place. The cause of a failure decides what
happens: wrong settings end the job at once; a row that the endpoint refuses is set aside; a failing endpoint ends the
job if it never answered or has stopped answering, and otherwise only its row is set aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from p2i_ray.cluster import ray_internals
from p2i_ray.config import ImageConfig, JudgeConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.lifetime import exit_with_driver
from p2i_ray.judge.engines.openai import messages
from p2i_ray.judge.engines.openai.budget import Budget
from p2i_ray.judge.engines.openai.endpoint import Choice, Completion, Endpoint, Failure, Token
from p2i_ray.judge.engines.openai.rate_limit import Clock
from p2i_ray.judge.requests.answers import FATAL, Asked, RequestRefused, Sample, parse_replies
from p2i_ray.judge.requests.parsing import Step
from p2i_ray.judge.requests.tasks import ChatRequest, JudgeTask, Reply

if TYPE_CHECKING:
    from ray.actor import ActorHandle

MAX_FAILURES = 8  # consecutive failures, or rows at the start of which none could be judged, that end the job
NO_PROBABILITY = -9000.0  # OpenAI and vLLM return -9999 for tokens of nearly no probability


class OpenAIEngine:
    """A client of one endpoint, as a Serve replica in place of VLLMEngine."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: JudgeConfig,
        limits: ImageConfig | None = None,
        seed: int = 0,
        *,
        application: str = "",
        owner: ActorHandle[Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the client; no request is made yet.

        Args:
            settings: settings of the judge; `model` is the model's name at the endpoint.
            limits: limits of pictures; not used, since pictures come checked.
            seed: seed of the jitter between retries.
            application: the Serve application that this replica belongs to.
            owner: an actor that lives as long as the driver; when it has ended, the application deletes itself.
            clock: source of time; tests pass another.

        Raises:
            UserError: there is no endpoint, or no key for it.
        """
        if not settings.hosted.url:
            raise UserError("judge.hosted.url isn't set; give the endpoint's base URL, e.g. https://api.openai.com/v1")
        ray_internals.replica_on_loopback()
        self._settings = settings.hosted
        self._endpoint = Endpoint(settings.hosted, settings.model, seed, clock)
        self._budget = Budget(settings.hosted)
        self._slots = asyncio.Semaphore(settings.hosted.max_concurrent_requests)
        self._first_request = asyncio.Lock()
        self._answered = False  # whether it ever has
        self._failures = 0  # consecutive ones of the endpoint
        self._judged = self._set_aside = 0  # rows
        self._fatal: str | None = None  # error that ends the job
        if owner:
            self._lifetime = asyncio.create_task(exit_with_driver(owner, application))

    async def ask(self, task: JudgeTask, samples: list[Sample]) -> list[dict[str, Any]]:
        """Ask about every sample; see `answers.parse_replies`.

        Raises:
            UserError: the job can't go on: the endpoint fails or knows no such model or key, the budget is spent, or
                none of the first rows could be judged.
        """
        self._budget.admit(len(samples))
        requests = [task.request(*sample) for sample in samples]
        rows = await parse_replies(task, [Asked(one, self._admitted(one)) for one in requests], self.reply)
        fatal = [row["error"] for row in rows if row.get(FATAL)]
        if fatal and all(row["error"] for row in rows):
            raise UserError(fatal[0])
        if fatal:
            return rows  # some have been answered and paid for
        errors = [row["error"] for row in rows if row["error"]]
        self._judged += len(rows) - len(errors)
        self._set_aside += len(errors)
        if not self._judged and self._set_aside >= MAX_FAILURES:
            raise UserError(
                f"judge.hosted.url={self._settings.url}: none of the first {self._set_aside} rows could be judged; "
                f"the last: {errors[-1]}"
            )
        return rows

    async def reply(self, request: ChatRequest) -> Reply:
        """Reply to one request, with a picture or without.

        Raises:
            RequestRefused: the endpoint can't.
            UserError: see `ask`.
        """
        self._budget.admit(1)
        return await self._admitted(request)

    def facts(self) -> dict[str, float]:
        """Usage since the start: requests (retries included), retries, input_tokens, output_tokens, usd."""
        endpoint, budget = self._endpoint, self._budget
        return {
            "requests": endpoint.requests,
            "retries": endpoint.retries,
            "input_tokens": budget.input_tokens,
            "output_tokens": budget.output_tokens,
            "usd": budget.usd,
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    async def _admitted(self, request: ChatRequest) -> Reply:
        try:
            if not self._answered:
                async with self._first_request:  # one at a time, until it has answered and the price is known
                    if not self._answered:
                        return await self._reply(request)
            return await self._reply(request)
        finally:
            self._budget.done()

    async def _reply(self, request: ChatRequest) -> Reply:
        async with self._slots:
            if self._fatal:
                raise UserError(self._fatal)
            self._budget.check()
            try:
                completion = await self._endpoint.complete(messages.body(request, self._settings))
                self._pay(completion)
                reply = self._read(completion.choices[0], request)
            except Failure as error:
                failure = error
            else:
                self._answered, self._failures = True, 0
                return reply
        raise self._consequence(failure)

    def _consequence(self, failure: Failure) -> UserError | RequestRefused:
        """UserError where the failure ends the job, RequestRefused where only the row is set aside."""
        if failure.cause == "row" and self._answered:
            self._failures = 0  # the endpoint itself works
            return RequestRefused(f"the endpoint {failure}")
        self._failures += 1
        ends_the_job = {
            "settings": True,
            "endpoint": not self._answered or self._failures >= MAX_FAILURES,
            "row": self._failures >= MAX_FAILURES,  # it refuses every request
        }
        if not ends_the_job[failure.cause]:
            return RequestRefused(f"the endpoint {failure}")
        self._fatal = f"judge.hosted.url={self._settings.url} {failure}"
        return UserError(self._fatal)

    def _pay(self, completion: Completion) -> None:
        if completion.usage:
            self._budget.add(completion.usage.prompt_tokens, completion.usage.completion_tokens)
        elif self._settings.max_usd is not None:
            advice = "leave that out, or use another endpoint"
            raise Failure(
                f"doesn't say how many tokens a request used, so judge.hosted.max_usd can't be kept; {advice}",
                "settings",
            )

    def _read(self, choice: Choice, request: ChatRequest) -> Reply:
        """Parse a choice.

        Raises:
            Failure: the model refused, or probabilities are missing.
        """
        message = choice.message
        if message.refusal or message.content is None or choice.finish_reason == "content_filter":
            reason = self._endpoint.sanitise(message.refusal or f"no text, finish reason {choice.finish_reason}")
            self._answered = True  # a refusal is a valid reply of the protocol
            raise Failure(f"refuses to judge it ({reason})", "row")
        step = None
        if request.probabilities and self._settings.logprobs:
            if choice.logprobs is None or not choice.logprobs.content:
                advice = "set judge.hosted.logprobs=false and idr.threshold_on=score, or use another model"
                raise Failure(f"tells no probabilities, which judge.hosted.logprobs asks for; {advice}", "endpoint")
            step = request.deciding_step(Step(one.token, _alternatives(one)) for one in choice.logprobs.content)
        text = _chosen(message.content, request.choice) if request.choice else message.content
        return Reply(text, choice.finish_reason == "length", step)


def _chosen(text: str, choices: Sequence[str]) -> str:
    """The choice that a reply begins with, or all of it: what nothing constrains may go on, as with a full stop."""
    begun = text.lstrip()
    found = next((one for one in choices if begun.lower().startswith(one)), None)
    return text if found is None or begun[len(found) : len(found) + 1].isalnum() else found


def _alternatives(token: Token) -> list[tuple[str, float]]:
    """The alternatives at a token, the token itself among them."""
    found = [(other.token, other.logprob) for other in token.top_logprobs]
    if token.token not in (other for other, _ in found):
        found.append((token.token, token.logprob))
    return [(other, logprob) for other, logprob in found if logprob > NO_PROBABILITY]
