"""Settings of the HTTP services: the generator and the LMM."""

from __future__ import annotations

from pydantic import Field, model_validator

from p2i_ray.config.base import Reserving, Settings
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.config.flaws import name_of
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.config.job import Config, ImageConfig
from p2i_ray.config.provenance import ProvenanceConfig
from p2i_ray.config.truth import TruthConfig

ALIASES = "further names of the model, for clients that hard-code one, e.g. [gpt-image-1]"


class LimitsConfig(Settings):
    """Limits of a request; anything beyond is refused with one line."""

    max_bytes: int = Field(20_000_000, gt=0, description="largest request body, bytes")
    max_pixels: int = Field(25_000_000, gt=0, le=178_956_970, description="largest decoded image, pixels")
    max_side: int = Field(8_192, gt=0, description="longest side of a decoded image, pixels")
    max_n: int = Field(8, ge=1, description="most images a request returns")
    max_candidates: int = Field(16, ge=1, description="most images a request paints (n, or best_of)")
    max_size: int = Field(1_536, ge=64, description="longest side of a painted image, pixels")
    max_area: int = Field(1_024 * 1_536, ge=4_096, description="largest painted image, pixels in all")
    max_steps: int = Field(60, ge=1, description="most denoising steps")
    max_name_chars: int = Field(500, ge=1, description="longest name of a product, characters")
    upload_s: float = Field(20, gt=0, description="longest time for a request's body to arrive, seconds")
    answer_s: float = Field(120, gt=0, description="longest time for a response, seconds")
    per_minute: int = Field(120, ge=1, description="images a minute and client, in the long run")
    queue: int = Field(64, ge=1, description="images that wait for the sampler; more get 429 with Retry-After")
    max_job_bytes: int = Field(200_000_000, gt=0, description="largest body of a batch job, bytes")
    max_job_pictures: int = Field(1_000, ge=1, description="most images a batch job paints")
    max_archive_entries: int = Field(3_000, ge=1, description="most entries of a batch job's zip of pictures")
    max_archive_bytes: int = Field(
        200_000_000, gt=0, description="what a batch job may take out of its zip of pictures, bytes in all"
    )
    max_jobs: int = Field(4, ge=1, description="unfinished batch jobs a client may have")


class ClientLimits(ImageConfig):
    """Limits of a client's images. A client can't set them, so a refusal names no group of settings."""

    group = ""


class ScaleConfig(Reserving):
    """The number of replicas, and what each reserves."""

    min_replicas: int = Field(1, ge=0, description="fewest replicas, kept without requests; 0 frees the hardware")
    max_replicas: int = Field(1, ge=1, description="most replicas")
    target_ongoing_requests: float = Field(
        8, gt=0, description="requests in flight per replica that autoscaling aims at"
    )
    num_gpus: float = Field(1, ge=0, description="GPUs a replica")
    num_cpus: float = Field(1, ge=0, description="CPUs a replica")
    threads: int | None = Field(None, ge=1, description="threads of a replica on CPUs (none: num_cpus)")

    @model_validator(mode="after")
    def _bounds(self) -> ScaleConfig:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas={self.max_replicas} is less than min_replicas={self.min_replicas}; raise it"
            )
        return self


class ChatConfig(Settings):
    """The LMM's application: limits of a chat, besides those of every request."""

    model_name: str = Field("product2img-lmm", description="the model's name in requests")
    model_aliases: tuple[str, ...] = Field((), description=ALIASES)
    port: int = Field(8_001, ge=1, le=65_535, description="TCP port of jobs/serve_lmm.py")
    max_messages: int = Field(64, ge=1, description="messages a chat")
    max_chars: int = Field(
        100_000, ge=1, description="text a chat, characters; the model's context length also applies"
    )
    max_images: int = Field(9, ge=0, description="images a chat; an image costs more tokens the larger it is")
    max_tokens: int = Field(1_024, ge=1, description="longest answer, tokens; the default of a request without one")
    max_n: int = Field(4, ge=1, description="answers a request")
    max_schema_chars: int = Field(20_000, ge=2, description="longest JSON schema, or choices, characters")


class QuotasConfig(Settings):
    """The most that a client may have painted in a day."""

    pictures_per_day: int | None = Field(
        None, ge=1, description="pictures a token and day (UTC), candidates of best_of included (none: unlimited)"
    )


class WebhooksConfig(Settings):
    """The addresses that may be told of finished batch jobs; else this server sends nothing anywhere."""

    allowed: tuple[str, ...] = Field(
        (),
        description="hosts or URLs that begin as these, e.g. [hooks.shop.example, https://shop.example/orders/] (none: "
        "webhooks are refused)",
    )
    secret_env: str = Field(
        "P2I_WEBHOOK_SECRET",
        description="variable with the secrets that sign, whsec_ and base64 each, separated by commas",
    )
    timeout_s: float = Field(10, gt=0, description="longest time for a receiver's answer, seconds")
    tries: int = Field(8, ge=1, le=20, description="times that a webhook is sent until it is accepted")
    retry_s: float = Field(5, gt=0, description="pause before the second try, seconds; each further is 4 times as long")


class ServeConfig(Settings):
    """The generator's application."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is the whole network")
    port: int = Field(8_000, ge=1, le=65_535, description="TCP port")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names by which clients may call the server, without port, e.g. [shop.example, '*.shop.example'] "
        "(jobs on loopback also take this machine's own; elsewhere none: any)",
    )
    model: str | None = Field(None, description="model folder, e.g. RUN/model (none: diffusion.base)")
    model_name: str = Field("product2img", description="the model's name in requests")
    model_aliases: tuple[str, ...] = Field((), description=ALIASES)
    reload_interval_s: float = Field(
        5, gt=0, description="interval of checking the model folder for a new model, seconds"
    )
    access_log: bool = Field(
        False, description="jobs print a line of JSON a request on standard output, not only into Ray's logs"
    )
    token_env: str = Field("P2I_API_TOKEN", description="variable with the bearer tokens, separated by commas")
    token_file: str | None = Field(None, description="file with one token a line, read again when it changes")
    max_batch_size: int = Field(8, ge=1, description="images denoised together; 1: no batching")
    batch_wait_timeout_s: float = Field(0.05, ge=0, description="longest wait for a fuller batch, seconds")
    exact: bool = Field(
        True,
        description="an image never depends on the rest of its batch; GPUs then pad every batch to max_batch_size "
        "(CPUs needn't), so a single image takes as long as a full batch",
    )
    judge: bool = Field(True, description="also host the judge, for best_of and accept=approved")
    compared: int = Field(
        0,
        ge=0,
        le=8,
        description="candidates of best_of, the best by score, that the judge also compares in pairs, each in both "
        "orders: N (N - 1) requests (0: ranked by score alone; 4 is enough)",
    )
    sharpened: bool = Field(
        True, description="rank by what the judge of the model's run has learned, where its folder says that"
    )
    sampler: ScaleConfig = ScaleConfig()
    lmm: ScaleConfig = ScaleConfig()
    chat: ChatConfig = ChatConfig()
    limits: LimitsConfig = LimitsConfig()
    truth: TruthConfig = TruthConfig()
    tolerated_flaws: tuple[str, ...] = Field(
        (), description="names in judge.flaws with which accept=approved approves of a picture all the same"
    )
    jobs: str = Field("runs/service-jobs", description="local folder of the batch jobs and their results")
    job_workers: int = Field(1, ge=1, description="items of batch jobs painted at a time, next to requests")
    job_days: float = Field(7, gt=0, description="how long a finished batch job's result is kept, days")
    dollars_per_hour: float | None = Field(
        None, ge=0, description="what a replica of the sampler costs, for the price of batch jobs (none: not said)"
    )
    quotas: QuotasConfig = QuotasConfig()
    webhooks: WebhooksConfig = WebhooksConfig()


class ServeJobConfig(Config):
    """Settings of the serving jobs: those of every job, and the services'."""

    serve: ServeConfig = ServeConfig()
    generators: GeneratorsConfig = GeneratorsConfig()
    compositing: CompositingConfig = CompositingConfig()
    provenance: ProvenanceConfig = ProvenanceConfig()

    @model_validator(mode="after")
    def _tolerates_what_is_named(self) -> ServeJobConfig:
        named = [name_of(flaw) for flaw in self.judge.flaws]
        for flaw in self.serve.tolerated_flaws:
            if flaw not in named:
                raise ValueError(
                    f"serve.tolerated_flaws: {flaw!r} is none of judge.flaws, which are {', '.join(named)}"
                )
        return self
