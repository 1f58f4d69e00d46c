"""Settings of the shop: the generator and the LMM over HTTP."""

from __future__ import annotations

from pydantic import Field, model_validator

from p2i_ray.config.base import Settings
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


class ScaleConfig(Settings):
    """How many replicas there are, and what each reserves."""

    min_replicas: int = Field(1, ge=0, description="replicas without requests; 0 frees the hardware")
    max_replicas: int = Field(1, ge=1, description="most replicas")
    ongoing: float = Field(8, gt=0, description="requests a replica that autoscaling aims at")
    num_gpus: float = Field(1, ge=0, description="GPUs a replica")
    num_cpus: float = Field(1, ge=0, description="CPUs a replica")

    @model_validator(mode="after")
    def _bounds(self) -> ScaleConfig:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas={self.max_replicas} is less than min_replicas={self.min_replicas}; raise it"
            )
        return self


class ServeConfig(Settings):
    """The generator's application."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 is the whole network")
    port: int = Field(8_000, ge=1, le=65_535, description="TCP port")
    model: str | None = Field(None, description="model folder, e.g. RUN/model (none: painter.base)")
    model_name: str = Field("product2img", description="what clients call the model")
    watch_s: float = Field(5, gt=0, description="how often the model folder is looked at for a new model, seconds")
    token_env: str = Field("P2I_API_TOKEN", description="variable with the bearer tokens, separated by commas")
    token_file: str | None = Field(None, description="file with one token a line, read again when it changes")
    batch_size: int = Field(8, ge=1, description="pictures denoised together; 1: no batching")
    batch_wait_s: float = Field(0.05, ge=0, description="longest wait for a fuller batch, seconds")
    judge: bool = Field(True, description="host the judge, too, for best_of")
    painter: ScaleConfig = ScaleConfig()
    lmm: ScaleConfig = ScaleConfig()
    limits: LimitsConfig = LimitsConfig()
    jobs: str = Field("runs/shop-jobs", description="folder of the batch jobs' results")


class ShopConfig(Config):
    """What the shop needs: what every job shares, and its own."""

    serve: ServeConfig = ServeConfig()
