"""Settings of the shop: the generator and the LMM over HTTP."""

from __future__ import annotations

from pydantic import Field, model_validator

from p2i_ray.config.base import Reserving, Settings
from p2i_ray.config.job import Config


class LimitsConfig(Settings):
    """What a request may ask for; anything beyond is refused with one line."""

    max_bytes: int = Field(20_000_000, gt=0, description="largest request body, bytes")
    max_pixels: int = Field(25_000_000, gt=0, description="largest decoded image, pixels")
    max_side: int = Field(8_192, gt=0, description="longest side of a decoded image, pixels")
    max_n: int = Field(8, ge=1, description="most pictures a request returns")
    max_candidates: int = Field(16, ge=1, description="most pictures a request paints (n, or best_of)")
    max_size: int = Field(1_024, ge=64, description="longest side of a painted picture, pixels")
    max_steps: int = Field(60, ge=1, description="most denoising steps")
    max_name_chars: int = Field(500, ge=1, description="longest name of a product, characters")
    upload_s: float = Field(20, gt=0, description="longest time for a request's body to arrive, seconds")
    answer_s: float = Field(120, gt=0, description="longest time for an answer, seconds")
    per_minute: int = Field(120, ge=1, description="pictures a minute and client, in the long run")
    queue: int = Field(64, ge=1, description="pictures that wait for the painter; more get 429 with Retry-After")
    max_job_bytes: int = Field(200_000_000, gt=0, description="largest body of a batch job, bytes")
    max_job_pictures: int = Field(1_000, ge=1, description="most pictures a batch job paints")
    max_jobs: int = Field(4, ge=1, description="unfinished batch jobs a client may have")


class ScaleConfig(Reserving):
    """How many replicas there are, and what each reserves."""

    min_replicas: int = Field(1, ge=0, description="replicas without requests; 0 frees the hardware")
    max_replicas: int = Field(1, ge=1, description="most replicas")
    target_ongoing_requests: float = Field(8, gt=0, description="requests a replica that autoscaling aims at")
    num_gpus: float = Field(1, ge=0, description="GPUs a replica")
    num_cpus: float = Field(1, ge=0, description="CPUs a replica")
    threads: int | None = Field(None, ge=1, description="threads a replica computes with on CPUs (none: its CPUs)")

    @model_validator(mode="after")
    def _bounds(self) -> ScaleConfig:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas={self.max_replicas} is less than min_replicas={self.min_replicas}; raise it"
            )
        return self


class ChatConfig(Settings):
    """The LMM's application: what a chat may ask for, beside the limits of every request."""

    model_name: str = Field("product2img-lmm", description="what clients call the LMM")
    port: int = Field(8_001, ge=1, le=65_535, description="TCP port, where the LMM is served by itself")
    max_messages: int = Field(64, ge=1, description="messages a chat")
    max_chars: int = Field(100_000, ge=1, description="text a chat, characters; the model's own length is less or more")
    max_images: int = Field(9, ge=0, description="pictures a chat; each costs the engine as many tokens as it has")
    max_tokens: int = Field(1_024, ge=1, description="longest answer, tokens; also where a request names none")
    max_n: int = Field(4, ge=1, description="answers a request")
    max_schema_chars: int = Field(20_000, ge=2, description="longest JSON schema, or choices, characters")


class ServeConfig(Settings):
    """The generator's application."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is the whole network")
    port: int = Field(8_000, ge=1, le=65_535, description="TCP port")
    model: str | None = Field(None, description="model folder, e.g. RUN/model (none: diffusion.base)")
    model_name: str = Field("product2img", description="what clients call the model")
    reload_interval_s: float = Field(
        5, gt=0, description="how often the model folder is looked at for a new model, seconds"
    )
    token_env: str = Field("P2I_API_TOKEN", description="variable with the bearer tokens, separated by commas")
    token_file: str | None = Field(None, description="file with one token a line, read again when it changes")
    max_batch_size: int = Field(8, ge=1, description="pictures denoised together; 1: no batching")
    batch_wait_timeout_s: float = Field(0.05, ge=0, description="longest wait for a fuller batch, seconds")
    exact: bool = Field(
        True,
        description="pictures never depend on the batch they ride in; GPUs (CPUs needn't) then fill every batch up to "
        "batch_size, so a lone picture takes as long as a full batch",
    )
    judge: bool = Field(True, description="host the judge, too, for best_of")
    sampler: ScaleConfig = ScaleConfig()
    lmm: ScaleConfig = ScaleConfig()
    chat: ChatConfig = ChatConfig()
    limits: LimitsConfig = LimitsConfig()
    jobs: str = Field("runs/shop-jobs", description="local folder of the batch jobs and their results")
    job_workers: int = Field(1, ge=1, description="items of batch jobs painted at a time; requests come beside them")
    job_days: float = Field(7, gt=0, description="how long a finished batch job's result is kept, days")


class ServeJobConfig(Config):
    """What the shop needs: what every job shares, and its own."""

    serve: ServeConfig = ServeConfig()
