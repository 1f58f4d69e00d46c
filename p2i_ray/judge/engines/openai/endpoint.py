"""Chat completions over HTTP: one request with its tries, at the endpoint's pace, to a checked completion or a Failure.

The key is read here and nowhere else. No text that leaves this file holds it, even if the endpoint repeats it.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from p2i_ray.config import HostedConfig
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.openai.rate_limit import LONGEST_ASKED_S, Clock, RequestPacer, asked_wait, back_off
from p2i_ray.judge.requests.tasks import clean_name

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

LONGEST_REASON = 300  # characters of an endpoint's own words
SECRET = 6  # characters; a shorter key is a stopgap for an endpoint that wants none
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}  # error codes


class Alternative(BaseModel):
    """A token that could have stood there."""

    token: str
    logprob: float  # natural


class Token(Alternative):
    """A written token."""

    top_logprobs: list[Alternative] = []


class Logprobs(BaseModel):
    """Of all written tokens, in order."""

    content: list[Token] | None = None


class Message(BaseModel):
    """What the model wrote."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One reply; we ask for one."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Usage(BaseModel):
    """What is paid for."""

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt


class Completion(BaseModel):
    """What we read of a reply; endpoints add much else."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class Failure(Exception):  # noqa: N818  as answering.Refused
    """A request without a usable completion; the text says what is wrong and what to do.

    Args:
        text: follows the endpoint's name: "refuses the key …".
        fault: whose it is: the settings', so that no request can succeed; the endpoint's; or this row's.
        passes: trying again may help.
        wait: seconds that the endpoint asked to wait.
    """

    def __init__(
        self, text: str, fault: Literal["settings", "endpoint", "row"], passes: bool = False, wait: float | None = None
    ) -> None:
        super().__init__(text)
        self.fault: Literal["settings", "endpoint", "row"] = fault
        self.passes = passes and (wait or 0) <= LONGEST_ASKED_S
        self.wait = wait

    def after(self, tries: int) -> Failure:
        """The same, saying how often it was tried."""
        return Failure(f"{self} (tried {tries} times)", self.fault)


class Endpoint:
    """One endpoint.

    Args:
        settings: of the endpoint.
        model: its name there.
        seed: of the waits' randomness.
        clock: time.

    Raises:
        UserError: the environment holds no key.
    """

    def __init__(self, settings: HostedConfig, model: str, seed: int = 0, clock: Clock | None = None) -> None:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._settings = settings
        self._model = model
        self._clock = clock or Clock()
        self._pace = RequestPacer(settings.requests_per_minute, self._clock)
        self._chance = random.Random(seed)
        self._key = _key(settings.key_env)
        self.requests = 0  # tries included
        self.retries = 0
        self._client = AsyncOpenAI(
            base_url=settings.url,
            api_key=self._key,
            admin_api_key="",  # not the environment's: nothing but the key goes there
            timeout=settings.timeout_s,
            max_retries=0,  # `complete` tries again, at the pace
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # a redirect would take the pictures elsewhere
        )
        self._client.organization = self._client.project = None

    async def complete(self, request: dict[str, Any]) -> Completion:
        """Send a request until it is answered, or there is no more hope.

        Args:
            request: keywords of chat.completions.create, less the model.

        Raises:
            Failure: there is no completion.
        """
        tries = 0
        while True:
            tries += 1
            await self._pace.wait()
            self.requests += 1
            outcome = await self._try(request)
            if isinstance(outcome, Completion):
                return outcome
            if not outcome.passes or tries > self._settings.max_retries:
                raise outcome if tries == 1 else outcome.after(tries)
            self.retries += 1
            if outcome.wait is not None:
                self._pace.hold(outcome.wait)
            else:
                await self._clock.sleep(back_off(tries, self._chance))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _try(self, request: dict[str, Any]) -> Completion | Failure:
        """One request. A failure is returned, not raised: the library's own errors, which know the key, stay here."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        try:
            async with asyncio.timeout(self._settings.timeout_s):  # the library's own starts anew with every byte
                reply = await self._client.chat.completions.with_raw_response.create(model=self._model, **request)
            return Completion.model_validate_json(reply.content)
        except (APITimeoutError, TimeoutError):
            advice = "raise judge.hosted.timeout_s or lower judge.hosted.max_concurrent_requests"
            return Failure(f"didn't answer within {self._settings.timeout_s:g} s; {advice}", "endpoint", passes=True)
        except APIConnectionError as error:
            return self._unreachable(error)
        except APIStatusError as error:
            return self._refused(error)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            why = self.cleaned(f"{where}: {first['msg']}" if where else first["msg"])
            advice = "judge.hosted.url is the part before /chat/completions, most often with /v1 at its end"
            return Failure(f"doesn't answer as an OpenAI-compatible endpoint does ({why}); {advice}", "endpoint")

    def cleaned(self, text: str) -> str:
        """Somebody else's words: on one line, not too long, without the key."""
        if len(self._key) >= SECRET:
            text = text.replace(self._key, "***")
        return clean_name(text, LONGEST_REASON)

    def _unreachable(self, error: APIConnectionError) -> Failure:
        why = self.cleaned(str(error.__cause__ or error)) or type(error.__cause__).__name__
        return Failure(f"can't be reached ({why}); is the address right and the server up?", "endpoint", passes=True)

    def _refused(self, error: APIStatusError) -> Failure:
        """By HTTP status, and the error's code where there is one."""
        status, body = error.status_code, error.body if isinstance(error.body, dict) else {"message": error.body}
        said = self.cleaned(str(body.get("message") or body.get("detail") or ""))
        why = f"HTTP {status}: {said}" if said and not said.startswith("<") else f"HTTP {status}"  # <: a web page
        if status == 402 or str(body.get("code") or body.get("type")) in NO_CREDIT:
            return Failure(f"has no credit left for this key ({why}); top it up and run the same command", "settings")
        if status == 401:
            return Failure(f"refuses the key in ${self._settings.key_env} ({why}); set the right one", "settings")
        if status in (404, 405) or body.get("code") == "model_not_found":
            advice = "see judge.model, and that judge.hosted.url is the part before /chat/completions"
            return Failure(f"doesn't know the model {self._model} or has no chat there ({why}); {advice}", "settings")
        if status < 400:
            return Failure(f"redirects elsewhere ({why}), which isn't followed; give the final address", "settings")
        if status in (400, 413, 415, 422):
            return Failure(f"refuses the request ({why})", "row")
        if status in (408, 409, 425, 429) or status >= 500:
            advice = "lower judge.hosted.requests_per_minute" if status == 429 else "try later"
            wait = asked_wait(error.response.headers)
            asks = f", asks to wait {wait:.0f} s" if wait else ""
            return Failure(f"can't take the request now ({why}{asks}); {advice}", "endpoint", passes=True, wait=wait)
        return Failure(f"refuses the request ({why}); may this key use this model?", "endpoint")


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(
            f"the environment variable {variable} (judge.hosted.key_env) isn't set where the judge runs; set it to the "
            "endpoint's key, or to any word if the endpoint wants none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"the environment variable {variable} (judge.hosted.key_env) holds no key: it has other signs")
    return key
