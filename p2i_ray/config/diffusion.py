"""Settings of the diffusion model: base model, features, training, sampling."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from p2i_ray.config.base import Adjustable, Content, Reserving, Result, Runtime, Settings

NAME = "{name}"  # in a prompt: the product's name


class DiffusionConfig(Settings):
    """The inpainting model and the frozen CLIP of Contrastive Background Alignment."""

    base: Content[str] = Field(description="diffusers folder of a Stable Diffusion inpainting model (9 input channels)")
    clip: Content[str] = Field(
        description="transformers folder of the CLIP whose text tower the model uses (frozen, for CBA)"
    )
    token: Result[str | None] = Field(
        "<background>", description="learned token appended to the product's name; null: none (an ablation)"
    )
    prompt: Result[str] = Field(
        NAME, description="the prompt, before the token; {name} is the product's name, which is cut where it is long"
    )
    token_from: Result[str] = Field("background", description="word whose embedding the token starts from")
    widen: Result[bool] = Field(
        False, description="give a base model with 4 input channels five more that start at zero (mask, product latent)"
    )

    @field_validator("prompt")
    @classmethod
    def _has_one_name(cls, prompt: str) -> str:
        if prompt.count(NAME) != 1:
            raise ValueError("it must have {name}, once")
        return prompt


class FeatureConfig(Reserving):
    """Frozen encoders over the kept rows: VAE moments and CLIP features, computed once."""

    cache: Runtime[str | None] = Field(
        None, description="folder or bucket where features are kept, for runs to share (none: in the run's own folder)"
    )
    batch_size: Adjustable[int] = Field(16, ge=1, description="rows encoded at once")
    num_workers: Runtime[int] = Field(1, ge=1, description="encoder actors")
    num_gpus: Adjustable[float] = Field(1, ge=0, description="GPUs an encoder reserves")
    num_cpus: Runtime[float] = Field(1, ge=0, description="CPUs an encoder reserves")


class TrackingConfig(Settings):
    """Tracking of a training. TensorBoard's event files are always written."""

    tool: Runtime[Literal["mlflow", "wandb"] | None] = Field(None, description="also log to MLflow or Weights & Biases")
    project: Runtime[str] = Field("p2i_ray", description="experiment (MLflow) or project (W&B)")
    samples: Runtime[int] = Field(4, ge=0, description="rows painted at every checkpoint and at the end; 0: none")
    num_inference_steps: Runtime[int] = Field(30, ge=1, description="denoising steps of a sample image")
    guidance_scale: Runtime[float] = Field(
        7.5, ge=1, description="classifier-free guidance of a sample image; 1 is off"
    )


class TrainConfig(Reserving):
    """Fine-tuning by Eq. 5 on Ray Train and DeepSpeed."""

    batch_size: Adjustable[int] = Field(64, ge=1, description="global batch, rows (paper: 64)")
    gradient_accumulation_steps: Runtime[int] = Field(1, ge=1, description="micro-batches a step and worker")
    num_workers: Runtime[int] = Field(4, ge=1, description="training processes (paper: 4 A100)")
    min_workers: Runtime[int | None] = Field(
        None, ge=1, description="go on with so few workers while the cluster has no more (none: wait for all)"
    )
    num_gpus: Adjustable[float] = Field(1, ge=0, description="GPUs a worker; 0 trains on CPUs over gloo")
    num_cpus: Runtime[float] = Field(4, ge=0, description="CPUs a worker")
    zero_stage: Adjustable[Literal[0, 1, 2, 3]] = Field(2, description="DeepSpeed ZeRO stage")
    mixed_precision: Adjustable[Literal["no", "bf16"]] = Field(
        "bf16", description="arithmetic of the forward and backward pass; no: float32"
    )
    lr_unet: Adjustable[float] = Field(1e-5, gt=0, description="UNet and <background> embedding (paper: 1e-5)")
    lr_text: Adjustable[float] = Field(1e-6, ge=0, description="rest of the text encoder (paper: 1e-6); 0 freezes it")
    warmup_ratio: Result[float] = Field(0.05, ge=0, lt=1, description="fraction of a round's steps of linear warm-up")
    weight_decay: Result[float] = Field(0.01, ge=0, description="AdamW's decay (not on <background>)")
    max_grad_norm: Adjustable[float] = Field(1.0, gt=0, description="gradient clipping, L2 norm")
    contrastive_weight: Result[float] = Field(
        0.01, ge=0, description="lambda of Eq. 5 (paper: 0.01); 0 trains without CBA"
    )
    temperature: Result[float] = Field(0.05, gt=0, description="tau of Eq. 4 (paper: 0.05)")
    prompt_dropout: Result[float] = Field(
        0.1, ge=0, lt=1, description="fraction of rows trained with an empty prompt, for guidance"
    )
    min_snr_gamma: Result[float | None] = Field(
        None, gt=0, description="weigh Eq. 3 by min(SNR, gamma) / SNR (min-SNR, usually 5); none: unweighted, the paper"
    )
    lora_rank: Result[int] = Field(
        0, ge=0, description="rank of LoRA on the attention layers; 0: full fine-tuning (paper)"
    )
    lora_alpha: Result[float | None] = Field(None, gt=0, description="scale of LoRA (none: its rank, a factor of 1)")
    ema_decay: Result[float | None] = Field(
        None, gt=0, lt=1, description="save the exponential moving average of the weights, e.g. 0.9999 (none: the last)"
    )
    gradient_checkpointing: Runtime[bool] = Field(False, description="recompute activations: less memory, slower")
    deterministic: Runtime[bool] = Field(
        True,
        description="on GPUs: algorithms that give the same bits every time; false: quicker, not to the bit",
    )
    channels_last: Runtime[bool] = Field(
        False,
        description="convolutions in NHWC layout: quicker with 4 rows a GPU, slower with 16 (an H200)",
    )
    compile: Runtime[bool] = Field(False, description="torch.compile the UNet: a minute's start, quicker steps")
    prefetch_batches: Runtime[int] = Field(4, ge=1, description="batches that wait ready for a worker")
    checkpointing_steps: Runtime[int] = Field(250, ge=1, description="steps between checkpoints")
    checkpoints_total_limit: Runtime[int] = Field(2, ge=1, description="newest checkpoints kept while training")
    max_loss_ratio: Runtime[float | None] = Field(
        20, gt=1, description="stop when a step's loss is so many times the median of the 50 before (none: never)"
    )
    max_failures: Runtime[int] = Field(
        3, ge=0, description="times that lost workers are replaced before the step fails"
    )
    timeout_s: Runtime[float] = Field(1800, gt=0, description="longest wait for another worker, seconds")
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _workers_share_the_batch(self) -> TrainConfig:
        parts = self.num_workers * self.gradient_accumulation_steps
        if self.batch_size % parts:
            raise ValueError(
                f"train.batch_size={self.batch_size} can't be shared by train.num_workers={self.num_workers} x "
                f"train.gradient_accumulation_steps={self.gradient_accumulation_steps}; make it a multiple of {parts}"
            )
        for fewer in range(self.min_workers or self.num_workers, self.num_workers):
            if parts % fewer:
                raise ValueError(
                    f"train.min_workers={self.min_workers} allows {fewer} workers, which can't share the {parts} "
                    f"micro-batches of a step; raise it, or make train.gradient_accumulation_steps a multiple of "
                    f"{fewer}"
                )
        if (self.min_workers or 1) > self.num_workers:
            raise ValueError(f"train.min_workers={self.min_workers} is more than train.num_workers={self.num_workers}")
        if self.zero_stage == 0 and self.mixed_precision == "bf16":
            raise ValueError(
                "train.zero_stage=0 has no full-precision weights next to bf16 ones; use train.zero_stage=1"
            )
        return self


class PriceConfig(Settings):
    """Assumed price of GPUs."""

    usd_per_gpu_hour: float = Field(
        5.12,
        ge=0,
        description="price of a GPU hour (Anyscale on Stable Diffusion 2, on demand: 67,405 for 13,165 A100 hours)",
    )


class RateConfig(PriceConfig):
    """Assumed rate and price of a training."""

    images_per_s: float | None = Field(
        None, gt=0, description="images a second and GPU (none: MosaicML's 36 on an A100 at 512 pixels, scaled)"
    )


class PlanConfig(RateConfig):
    """Assumptions of a training's `--plan`."""

    gpu_memory_gib: float | None = Field(None, gt=0, description="memory of a GPU, GiB, to compare the need with")


class GenerateConfig(Reserving):
    """Sampling with the finished model."""

    num_inference_steps: Result[int] = Field(30, ge=1, description="denoising steps of Euler Ancestral (paper: 30)")
    guidance_scale: Result[float] = Field(7.5, ge=1, description="classifier-free guidance scale; 1 is off")
    batch_size: Adjustable[int] = Field(8, ge=1, description="images denoised at once")
    num_workers: Runtime[int] = Field(4, ge=1, description="sampler actors")
    num_gpus: Adjustable[float] = Field(1, ge=0, description="GPUs an actor")
    num_cpus: Runtime[float] = Field(1, ge=0, description="CPUs an actor")
    dtype: Result[Literal["fp32", "bf16", "fp16"]] = Field("bf16", description="arithmetic")
    soft_edge: Result[float] = Field(
        0.0, ge=0, description="blur of the mask's edge when the product is pasted back, pixels"
    )
    paste_product: Result[bool] = Field(
        True, description="put the product's own pixels back; false: the model's, to see what it makes of the product"
    )
