"""Settings of a hosted judge: an endpoint, its key, limits and prices."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from p2i_ray.config.base import Adjustable, Result, Runtime, Settings


class HostedConfig(Settings):
    """An OpenAI-compatible endpoint in place of own engines. Every call costs money: see judge.cache."""

    url: Adjustable[str | None] = Field(
        None, description="base URL, e.g. https://api.openai.com/v1 (none: own engines)"
    )
    key_env: Runtime[str] = Field(
        "P2I_JUDGE_API_KEY", description="environment variable on Ray's nodes with the API key"
    )
    allow_http: Runtime[bool] = Field(
        False,
        description="allow unencrypted http to another machine, for the key and the pictures; for private networks",
    )
    constraint: Result[Literal["json_schema", "vllm", "none"]] = Field(
        "json_schema", description="how replies are constrained: OpenAI's response_format, vLLM's, or the prompt alone"
    )
    length_key: Runtime[Literal["max_tokens", "max_completion_tokens"]] = Field(
        "max_tokens", description="the endpoint's name of the token limit; newer OpenAI models need the second"
    )
    logprobs: Result[bool] = Field(
        True, description="false: the endpoint returns no probabilities, so there are only whole scores"
    )
    top_logprobs: Result[int] = Field(20, ge=5, le=20, description="alternatives per token that the endpoint returns")
    requests_per_minute: Runtime[float] = Field(
        500, gt=0, description="rate limit, requests per minute, retries included"
    )
    max_concurrent_requests: Runtime[int] = Field(16, ge=1, description="requests at the endpoint at once")
    timeout_s: Runtime[float] = Field(60, gt=0, description="timeout of one request, seconds")
    max_retries: Runtime[int] = Field(5, ge=0, description="retries after an overload, a lost connection or a timeout")
    usd_per_million_input: Runtime[float] = Field(0, ge=0, description="price of input tokens, US dollars per million")
    usd_per_million_output: Runtime[float] = Field(
        0, ge=0, description="price of output tokens, US dollars per million"
    )
    max_usd: Runtime[float | None] = Field(
        None, gt=0, description="spending limit of one job, US dollars (none: no limit)"
    )

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        """Check the URL, which must hold no secret because manifests and errors show it."""
        if url is None:
            return None
        url = url.strip()
        shown = url.split("?")[0].split("#")[0]
        shown = shown if "@" not in shown else "…"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise _wrong(shown, "is no URL; give the endpoint's base URL, e.g. https://api.openai.com/v1") from None
        if (
            parts.scheme not in ("http", "https")
            or not host
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise _wrong(shown, "is no http(s) URL; give the endpoint's base URL, e.g. https://api.openai.com/v1")
        if "@" in url or parts.query or parts.fragment:
            raise _wrong(
                shown, "must hold no user, password or query; the key belongs in the variable that key_env names"
            )
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _name_of_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # probably the key itself, which must not be shown
            raise _wrong("…", "is no variable's name; give the name, and set the variable to the key")
        return name

    @model_validator(mode="after")
    def _safe_and_priced(self) -> HostedConfig:
        if self.url and not self.allow_http and self.url.startswith("http:") and not _is_here(self.url):
            raise _wrong(
                self.url, "would send the key unencrypted; use https, or set allow_http=true in the same group", "url"
            )
        if self.max_usd is not None and not (self.usd_per_million_input or self.usd_per_million_output):
            raise _wrong(self.max_usd, "needs prices: set usd_per_million_input and usd_per_million_output", "max_usd")
        return self


def _wrong(shown: Any, why: str, *where: str) -> ValidationError:
    """A validation error that shows this value in place of the input."""
    message = PydanticCustomError("hosted", "{why}", {"why": why})
    return ValidationError.from_exception_data("hosted", [{"type": message, "loc": where, "input": shown}])


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
