"""Settings of the judge: its engines or its endpoint, what it is shown, and how it is checked."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from p2i_ray.config.base import Reserving, Result, Runtime, Settings


class HostedConfig(Settings):
    """An OpenAI-compatible endpoint in place of engines of one's own. Every call is paid: see judge.cache."""

    url: Result[str | None] = Field(None, description="base URL, e.g. https://api.openai.com/v1 (none: own engines)")
    key_env: Runtime[str] = Field(
        "P2I_JUDGE_API_KEY", description="environment variable, on Ray's nodes, that holds the key"
    )
    allow_http: Result[bool] = Field(
        False,
        description="let the key and the pictures travel unencrypted to another machine, on a network of one's own",
    )
    constraint: Result[Literal["json_schema", "vllm", "none"]] = Field(
        "json_schema", description="how the endpoint is told the reply's form: OpenAI's way, vLLM's, or by prompt alone"
    )
    length_key: Result[Literal["max_tokens", "max_completion_tokens"]] = Field(
        "max_tokens", description="the endpoint's name for the longest reply; OpenAI's newer models want the second"
    )
    logprobs: Result[bool] = Field(
        True, description="false: the endpoint tells no probabilities, so only whole scores come"
    )
    top_logprobs: Result[int] = Field(
        20, ge=5, le=20, description="alternatives a token that the endpoint is asked to tell"
    )
    requests_per_minute: Runtime[float] = Field(500, gt=0, description="rate limit, requests a minute, tries included")
    max_concurrent_requests: Runtime[int] = Field(16, ge=1, description="requests that wait at the endpoint")
    timeout_s: Runtime[float] = Field(60, gt=0, description="longest wait for one reply, seconds")
    max_retries: Runtime[int] = Field(
        5, ge=0, description="tries after a refusal for load, a lost connection or a time-out"
    )
    usd_per_million_input: Result[float] = Field(0, ge=0, description="price of input tokens, US dollars a million")
    usd_per_million_output: Result[float] = Field(0, ge=0, description="price of output tokens, US dollars a million")
    max_usd: Runtime[float | None] = Field(
        None, gt=0, description="most that one job may spend, US dollars (none: no limit)"
    )

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        """The URL is written to manifests and errors, so nothing secret may be in it."""
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
                shown, "must hold no user, password or query; the key belongs in judge.hosted.key_env's variable"
            )
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _name_of_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # likely the key itself, which must not be shown
            raise _wrong("…", "is no variable's name; give the name, and set the variable to the key")
        return name

    @model_validator(mode="after")
    def _safe_and_priced(self) -> HostedConfig:
        if self.url and not self.allow_http and self.url.startswith("http:") and not _is_here(self.url):
            raise _wrong(
                self.url, "would send the key unencrypted; use https, or set judge.hosted.allow_http=true", "url"
            )
        if self.max_usd is not None and not (self.usd_per_million_input or self.usd_per_million_output):
            raise _wrong(self.max_usd, "needs prices: set usd_per_million_input and usd_per_million_output", "max_usd")
        return self


def _wrong(shown: Any, why: str, *where: str) -> ValidationError:
    """An error that shows this value instead of what was given."""
    message = PydanticCustomError("hosted", "{why}", {"why": why})
    return ValidationError.from_exception_data("hosted", [{"type": message, "loc": where, "input": shown}])


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class CascadeConfig(Reserving):
    """A small head on CLIP features decides the sure rows, the LMM sees the rest."""

    clip: Result[str | None] = Field(
        None, description="transformers folder of the CLIP below the head (none: no cascade)"
    )
    sample: Result[int] = Field(1000, ge=50, description="rows that the LMM scores for the head to learn from")
    agreement: Result[float] = Field(
        0.98, gt=0.5, lt=1, description="share of decisions that must be the LMM's own, on rows held out of the sample"
    )
    batch_size: Result[int] = Field(64, ge=1, description="pictures that CLIP encodes at once")
    num_workers: Result[int] = Field(1, ge=1, description="CLIP actors")
    num_gpus: Result[float] = Field(0, ge=0, description="GPUs an actor reserves")
    num_cpus: Result[float] = Field(0.5, ge=0, description="CPUs an actor reserves")


class JudgeConfig(Reserving):
    """The LMM that scores and criticises: R, F and SUM of Eq. 6 to 8, on vLLM engines or a hosted endpoint."""

    model: Result[str] = Field(description="folder or id of a vision-language model with safetensors weights")
    prompts: Result[str | None] = Field(
        None, description="folder with score.yaml, critique.yaml, summary.yaml (none: built in)"
    )
    exemplars: Result[str | None] = Field(
        None,
        description="c_R, shown before every sample: Parquet file with name, image, score and maybe reason, or folder "
        "with pictures and exemplars.csv (file,name,score,reason)",
    )
    reasoned: Result[bool] = Field(False, description="write a reason before the score: slower, one generation a row")
    max_reason_tokens: Result[int] = Field(128, ge=8, description="longest reason or critique, tokens")
    max_summary_tokens: Result[int] = Field(160, ge=8, description="longest feedback text, tokens")
    max_name_chars: Result[int] = Field(300, ge=1, description="product names are cut after this many characters")
    summary_examples: Result[int] = Field(24, ge=0, description="critiques shown word for word to the summary, rows")
    cache: Runtime[str | None] = Field(
        None, description="folder or URI of replies already paid for, shared by runs (none: one beside the output)"
    )
    dtype: Result[Literal["auto", "float32", "bfloat16", "float16"]] = Field(
        "auto", description="weights and arithmetic"
    )
    quantization: Result[str | None] = Field(
        None, description="vLLM's name of a quantisation, e.g. awq, fp8 (none: as the model's folder says)"
    )
    max_model_len: Result[int] = Field(4096, ge=64, description="longest prompt plus answer, tokens")
    enable_prefix_caching: Result[bool] = Field(True, description="compute rubric, feedback and exemplars once")
    enforce_eager: Result[bool] = Field(
        False, description="no CUDA graphs and no compilation: quicker start, slower steps"
    )
    tensor_parallel_size: Result[int] = Field(1, ge=1, description="GPUs an engine")
    gpu_memory_utilization: Runtime[float] = Field(
        0.9, gt=0, le=1, description="share of a GPU's memory that an engine takes"
    )
    kv_cache_gb: Runtime[int | None] = Field(
        None,
        ge=1,
        description="key-value cache of an engine on a CPU (none: 1) or on a share of a GPU, GB; on a whole GPU it is "
        "what gpu_memory_utilization leaves",
    )
    replicas: Runtime[int] = Field(1, ge=1, description="engines; the fewest of them with judge.max_replicas")
    max_replicas: Runtime[int | None] = Field(
        None, ge=1, description="engines are added up to this many while rows wait (none: judge.replicas, always)"
    )
    num_gpus: Result[float] = Field(1, ge=0, description="GPUs an engine reserves; 0 runs it on the CPU")
    num_cpus: Result[float] = Field(1, ge=0, description="CPUs an engine reserves")
    max_num_seqs: Result[int] = Field(64, ge=1, description="sequences that an engine computes at once")
    keep_warm: Runtime[bool] = Field(
        False, description="keep engines between the steps of a run; else free them for training"
    )
    hosted: HostedConfig = HostedConfig()
    cascade: CascadeConfig = CascadeConfig()

    @model_validator(mode="after")
    def _bounds(self) -> JudgeConfig:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"judge.max_replicas={self.max_replicas} is less than judge.replicas={self.replicas}; raise it"
            )
        return self


class CalibrationConfig(Settings):
    """Checks of the judge, made once a run before its scores are trusted."""

    rows: Result[int] = Field(
        0, ge=0, description="rows of the checks that need no gold: swapped, blanked, overlaid; 0: none"
    )
    gold: Result[str | None] = Field(None, description="Parquet or CSV file with id and score, 1 to 5, given by people")
    orders: Result[int] = Field(3, ge=2, description="orders in which the exemplars are shown, where there are any")
