"""Chat completions over HTTP: one request with its retries, rate-limited, to a validated completion or a Failure.

The API key is read here only. No text that leaves this module contains it, even if the endpoint repeats it.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from p2i_ray.config import HostedConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.openai.rate_limit import MAX_RETRY_AFTER_S, Clock, RequestPacer, backoff, retry_after
from p2i_ray.judge.requests.tasks import clean_name

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

MAX_REASON_CHARS = 300  # of an endpoint's own message
MIN_KEY_CHARS = 6  # a shorter key is a placeholder for an endpoint that needs none, and no secret
NO_CREDIT_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}  # error codes


Cause = Literal["settings", "endpoint", "row"]


class Alternative(BaseModel):
    """One alternative at a decoding step."""

    token: str
    logprob: float  # natural


class Token(Alternative):
    """A generated token."""

    top_logprobs: list[Alternative] = []


class Logprobs(BaseModel):
    """Log-probabilities of all generated tokens, in order."""

    content: list[Token] | None = None


class Message(BaseModel):
    """The model's message."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One reply; requests ask for one."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Usage(BaseModel):
    """The tokens that are paid for."""

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt


class Completion(BaseModel):
    """The fields of a completion that are used; endpoints send many others."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class Failure(Exception):  # noqa: N818  # as answers.RequestRefused
    """A request without a usable completion; the text says what is wrong and what to do.

    Args:
        text: continues the endpoint's name: "refuses the key …".
        cause: the settings, so that no request can succeed; the endpoint; or this row.
        transient: whether a retry may help.
        wait: seconds that the endpoint asked to wait.
    """

    def __init__(self, text: str, cause: Cause, *, transient: bool = False, wait: float | None = None) -> None:
        super().__init__(text)
        self.cause = cause
        self.transient = transient and (wait or 0) <= MAX_RETRY_AFTER_S
        self.wait = wait

    def after(self, tries: int) -> Failure:
        """The same failure with the number of tries in its text."""
        return Failure(f"{self} (tried {tries} times)", self.cause)


class Endpoint:
    """A client of one endpoint.

    Args:
        settings: settings of the endpoint.
        model: the model's name there.
        seed: seed of the jitter between retries.
        clock: source of time.

    Raises:
        UserError: the environment holds no key.
    """

    def __init__(self, settings: HostedConfig, model: str, seed: int = 0, clock: Clock | None = None) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._settings = settings
        self._model = model
        self._clock = clock or Clock()
        self._pacer = RequestPacer(settings.requests_per_minute, self._clock)
        self._random = random.Random(seed)
        self._key = _key(settings.key_env)
        self.requests = 0  # retries included
        self.retries = 0
        self._client = AsyncOpenAI(
            base_url=settings.url,
            api_key=self._key,
            admin_api_key="",  # not the environment's: only the key is sent
            timeout=settings.timeout_s,
            max_retries=0,  # `complete` retries, within the rate limit
            # a redirect would send the pictures to another host
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._client.organization = self._client.project = None

    async def complete(self, body: dict[str, Any]) -> Completion:
        """Send a request, with retries.

        Args:
            body: arguments of chat.completions.create without the model.

        Raises:
            Failure: there is no completion.
        """
        tries = 0
        while True:
            tries += 1
            await self._pacer.wait()
            self.requests += 1
            outcome = await self._try(body)
            if isinstance(outcome, Completion):
                return outcome
            if not outcome.transient or tries > self._settings.max_retries:
                raise outcome if tries == 1 else outcome.after(tries)
            self.retries += 1
            if outcome.wait is not None:
                self._pacer.hold(outcome.wait)
            else:
                await self._clock.sleep(backoff(tries, self._random))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _try(self, body: dict[str, Any]) -> Completion | Failure:
        """Send one request; a failure is returned, not raised: the library's errors hold the key and must stay here."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        try:
            async with asyncio.timeout(self._settings.timeout_s):  # the library's own timeout restarts with every byte
                reply = await self._client.chat.completions.with_raw_response.create(model=self._model, **body)
            return Completion.model_validate_json(reply.content)
        except (APITimeoutError, TimeoutError):
            advice = "raise judge.hosted.timeout_s or lower judge.hosted.max_concurrent_requests"
            return Failure(f"didn't answer within {self._settings.timeout_s:g} s; {advice}", "endpoint", transient=True)
        except APIConnectionError as error:
            return self._unreachable(error)
        except APIStatusError as error:
            return self._status_failure(error)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            reason = self.sanitise(f"{where}: {first['msg']}" if where else first["msg"])
            advice = "judge.hosted.url is the part before /chat/completions, most often with /v1 at its end"
            return Failure(f"doesn't answer as an OpenAI-compatible endpoint does ({reason}); {advice}", "endpoint")

    def sanitise(self, text: str) -> str:
        """Put an endpoint's text on one line, cut it, and remove the key."""
        if len(self._key) >= MIN_KEY_CHARS:
            text = text.replace(self._key, "***")
        return clean_name(text, MAX_REASON_CHARS)

    def _unreachable(self, error: APIConnectionError) -> Failure:
        reason = self.sanitise(str(error.__cause__ or error)) or type(error.__cause__).__name__
        return Failure(
            f"can't be reached ({reason}); is the address right and the server up?", "endpoint", transient=True
        )

    def _status_failure(self, error: APIStatusError) -> Failure:
        """The failure by HTTP status, and by the error's code where there is one."""
        status, body = error.status_code, error.body if isinstance(error.body, dict) else {"message": error.body}
        message = self.sanitise(str(body.get("message") or body.get("detail") or ""))
        reason = f"HTTP {status}: {message}" if message and not message.startswith("<") else f"HTTP {status}"  # <: HTML
        if status == 402 or str(body.get("code") or body.get("type")) in NO_CREDIT_CODES:
            return Failure(
                f"has no credit left for this key ({reason}); top it up and run the same command", "settings"
            )
        if status == 401:
            return Failure(f"refuses the key in ${self._settings.key_env} ({reason}); set the right one", "settings")
        if status in (404, 405) or body.get("code") == "model_not_found":
            advice = "see judge.model, and that judge.hosted.url is the part before /chat/completions"
            return Failure(
                f"doesn't know the model {self._model} or has no chat there ({reason}); {advice}", "settings"
            )
        if status < 400:
            return Failure(f"redirects elsewhere ({reason}), which isn't followed; give the final address", "settings")
        if status in (400, 413, 415, 422):
            return Failure(f"refuses the request ({reason})", "row")
        if status in (408, 409, 425, 429) or status >= 500:
            advice = "lower judge.hosted.requests_per_minute" if status == 429 else "try later"
            wait = retry_after(error.response.headers)
            asks = f", asks to wait {wait:.0f} s" if wait else ""
            return Failure(
                f"can't take the request now ({reason}{asks}); {advice}", "endpoint", transient=True, wait=wait
            )
        return Failure(f"refuses the request ({reason}); may this key use this model?", "endpoint")


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"the environment variable {variable} (judge.hosted.key_env) isn't set where the judge runs; set it to the "
            "endpoint's key, or to any word if the endpoint wants none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(
            f"the environment variable {variable} (judge.hosted.key_env) holds no key: it has other characters"
        )
    return key
