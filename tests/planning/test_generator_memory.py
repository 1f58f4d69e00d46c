"""The plan of a generator's training, against the parameters and the memory of a real one."""

from __future__ import annotations

import pytest
import torch

from p2i_ray.config import Config, DiffusionConfig, TrainConfig, load
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.model.loading import load_projection
from p2i_ray.errors import UserError
from p2i_ray.generators.generator import Kind
from p2i_ray.planning import generator_memory as plan
from p2i_ray.planning.architectures import PUBLISHED, of
from p2i_ray.planning.training_memory import peak_of_step
from tests.support.make_generators import SETTINGS, make_batch, make_model

pytestmark = pytest.mark.long

TRAIN = TrainConfig(batch_size=4, num_workers=1, num_gpus=0, mixed_precision="no", zero_stage=1)


@pytest.mark.parametrize("kind", ["category", "personality"])
def test_the_plan_is_what_a_real_step_takes(tiny_painter: DiffusionConfig, kind: Kind) -> None:
    architecture, there = of(tiny_painter.base, tiny_painter)
    counted, needed = plan.need(architecture, TRAIN, 16, kind=kind, generators=SETTINGS)
    parts, model = make_model(tiny_painter, (kind,))
    batch = make_batch(parts)
    real = peak_of_step(model, batch, 1)
    copy = model.generator(kind).copy
    assert there and counted.unet == sum(p.numel() for p in copy.parameters())
    width = load_projection(tiny_painter).weight.shape[1]
    assert counted.text == (plan.CATEGORIES * SETTINGS.tokens * width if kind == "category" else 0)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert counted.frozen == frozen - width  # without the row of <background>, which the folder has
    assert needed.activations == pytest.approx(real, rel=0.15)  # names and padding of prompts differ


def test_prompts_are_read_by_the_base_s_own_tokenizer_as_in_training() -> None:
    """The paper's have 35 letters, more than the mini model's 32 tokens, and 12 tokens."""
    mini = load(Config, "mini").diffusion
    architecture, there = of(mini.base, mini)
    assert there
    given = GeneratorsConfig()
    counted, _ = plan.need(architecture, TRAIN, 64, kind="category", generators=given, location=mini.base)
    assert counted == plan.need(architecture, TRAIN, 64, kind="category", generators=given)[0]
    long = given.model_copy(update={"background_prompt": "x y z " * 10})
    with pytest.raises(UserError) as refused:
        plan.need(architecture, TRAIN, 64, kind="category", generators=long, location=mini.base)
    assert str(refused.value) == (
        f"generators.product_prompt='a photo of {{category}}' with generators.background_prompt={'x y z ' * 10!r} and "
        "generators.tokens=4 leaves no room for a name among 32 tokens; shorten it"
    )


def test_the_published_base_with_a_copy() -> None:
    settings = TrainConfig(batch_size=4, num_workers=4, mixed_precision="bf16", gradient_checkpointing=True)
    counted, needed = plan.need(PUBLISHED, settings, 512, kind="personality", generators=SETTINGS)
    assert counted.unet == pytest.approx(361e6, rel=0.02)  # ControlNet's published size
    assert 4 * 2**30 < needed.peak < 16 * 2**30
    assert torch.get_default_dtype() == torch.float32
