"""Training generators on Ray Train and DeepSpeed: exact across workers, resumed, beside a frozen base; refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.features.index import FeatureIndex
from p2i_ray.diffusion.training import launch as training
from p2i_ray.errors import UserError
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from p2i_ray.generators.categories import Categories, Category
from p2i_ray.generators.generator import Kind
from p2i_ray.generators.objective import GeneratorObjective
from tests.diffusion.training.test_launch import killing
from tests.diffusion.training.test_process_group import watched_ports
from tests.support.make_features import make_features
from tests.support.make_generators import SETTINGS as WORDS
from tests.support.make_generators import make_generators

NAMES = ("cup", "round cup", "bag", "cup")
SETTINGS = WORDS.model_copy(
    update={"lr_copy": 1e-3, "lr_identifiers": 1e-2, "rare_below": 8, "rare_weight": 0.5},
)
CATEGORIES = (Category("bag", "", 5), Category("cup", "ware", 10), Category("round cup", "ware", 5))
TRAINING = TrainConfig(
    batch_size=8, num_workers=2, num_gpus=0, num_cpus=0.5, zero_stage=2, mixed_precision="no", max_failures=0
)


@pytest.fixture(scope="module")
def features(tiny_painter: DiffusionConfig, tmp_path_factory: pytest.TempPathFactory) -> FeatureIndex:
    out = tmp_path_factory.mktemp("features") / "rows"
    return make_features(out, tiny_painter, count=20, resolution=16, categories=NAMES)


def objective(kind: Kind, **changes: Any) -> GeneratorObjective:
    return GeneratorObjective(kind, SETTINGS.model_copy(update=changes), CATEGORIES if kind == "category" else ())


def train(
    features: FeatureIndex,
    diffusion: DiffusionConfig,
    out: Path,
    what: GeneratorObjective,
    *,
    steps: int = 6,
    **changes: Any,
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Train; the steps of training.json and all weights."""
    settings = TRAINING.model_copy(update=changes)
    result = training.train(
        features,
        keep=None,
        base=diffusion.base,
        diffusion=diffusion,
        objective=what,
        settings=settings,
        steps=steps,
        seed=0,
        out=str(out),
        work=f"{out}-work",
        tracking=f"{out}-tracking",
    )
    recorded = json.loads((out / "training.json").read_text())["steps"]
    assert [step["step"] for step in recorded] == list(range(1, steps + 1))
    assert result["rows"] == 20 and result["loss"] == recorded[-1]["total"]
    files = out.glob("*.safetensors")
    return recorded, {f"{file.stem}.{name}": v for file in files for name, v in load_file(file).items()}


def alike(
    left: tuple[list[dict[str, float]], dict[str, torch.Tensor]],
    right: tuple[list[dict[str, float]], dict[str, torch.Tensor]],
) -> None:
    for one, other in zip(left[0], right[0], strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-7)
    for name, value in right[1].items():
        torch.testing.assert_close(left[1][name], value, rtol=1e-3, atol=1e-3)


def two_as_one(
    features: FeatureIndex, diffusion: DiffusionConfig, folder: Path, what: GeneratorObjective
) -> list[dict[str, float]]:
    """Train with one worker and with two, to the same end; the steps of the one."""
    one = train(features, diffusion, folder / "one", what, num_workers=1)
    alike(train(features, diffusion, folder / "two", what, gradient_accumulation_steps=2), one)
    return one[0]


def test_the_category_wise_generator_is_trained(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    with watched_ports() as reached:  # of two workers
        steps, _ = train(features, tiny_painter, tmp_path / "one", objective("category"), gradient_accumulation_steps=2)
    assert reached == set()
    assert all(step["total"] == pytest.approx(step["noise"] + 0.5 * step["pull"]) for step in steps)
    assert steps[0]["pull"] == 0 and steps[-1]["pull"] > 0  # all identifiers start alike
    [sheet] = (tmp_path / "one-tracking" / "samples").iterdir()
    assert sheet.name == "step-000006.png"
    parts = load_base(tiny_painter.base, tiny_painter, SETTINGS)
    use = SETTINGS.model_copy(update={"category": str(tmp_path / "one")})
    made: Any = folder.load_generators(tiny_painter.base, parts, use)["category"]
    assert made.categories.all == CATEGORIES
    moved = (made.identifiers.table - made.identifiers.table[:, :1]).abs().sum()
    assert moved > 0 and "12" not in (tmp_path / "one" / "README.md").read_text()
    assert "each of 3 categories" in (tmp_path / "one" / "README.md").read_text()


@pytest.mark.slow
def test_two_workers_train_the_category_wise_generator_as_one_does(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    two_as_one(features, tiny_painter, tmp_path, objective("category"))


@pytest.mark.slow
def test_two_workers_train_the_personality_wise_generator_as_one_does(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    first, *_, last = two_as_one(features, tiny_painter, tmp_path, objective("personality"))
    spoilt = objective("personality", spoiling=SETTINGS.spoiling.model_copy(update={"enabled": False}))
    other, _ = train(features, tiny_painter, tmp_path / "unspoilt", spoilt, num_workers=1)
    # A new copy adds nothing, and reads its picture through a convolution of zeros: both learn before it sees one.
    assert other[0] == pytest.approx(first)
    assert other[-1]["noise"] != last["noise"]  # by a little, so early


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 3])
def test_zero_s_stages_agree(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path, stage: int
) -> None:
    what = objective("category")
    expected = train(features, tiny_painter, tmp_path / "two", what)
    alike(train(features, tiny_painter, tmp_path / "stage", what, zero_stage=stage), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["category", "personality"])
def test_a_killed_worker_changes_nothing(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path, kind: Kind
) -> None:
    what, out = objective(kind), tmp_path / "disturbed"
    settings: dict[str, Any] = {"steps": 40, "checkpointing_steps": 10, "ema_decay": 0.8}
    expected = train(features, tiny_painter, tmp_path / "calm", what, **settings)
    with killing(Path(f"{out}-work")):
        found = train(features, tiny_painter, out, what, max_failures=1, **settings)
    assert found[0] == expected[0]
    for name, value in expected[1].items():
        assert torch.equal(found[1][name], value), name


@pytest.mark.slow
def test_one_learns_beside_another_and_goes_on_from_itself(
    ray_cluster: None, features: FeatureIndex, tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    train(features, tiny_painter, tmp_path / "category", objective("category"), num_workers=1)
    before = {file.name: file.read_bytes() for file in (tmp_path / "category").iterdir()}
    beside = objective("personality", category=str(tmp_path / "category"))
    alone, _ = train(features, tiny_painter, tmp_path / "alone", objective("personality"), num_workers=1, steps=2)
    both, weights = train(features, tiny_painter, tmp_path / "both", beside, num_workers=1, steps=2)
    assert both[0]["noise"] != alone[0]["noise"]  # the base is another one, with the frozen copy beside it
    assert not any("identifiers" in name for name in weights)
    assert {file.name: file.read_bytes() for file in (tmp_path / "category").iterdir()} == before
    further = objective("category", category=str(tmp_path / "category"))
    _, more = train(features, tiny_painter, tmp_path / "further", further, num_workers=1, steps=2)
    first = load_file(tmp_path / "category" / "diffusion_pytorch_model.safetensors")
    steps = [(more[f"diffusion_pytorch_model.{name}"] - value).abs().max() for name, value in first.items()]
    assert 0 < max(steps) < 5e-3  # two steps of 1e-3 from there, not from the base


def test_what_can_t_be_trained_is_one_line(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    what = objective("category")
    with pytest.raises(UserError, match=r"^train.lora_rank=4 has nothing to adapt: .* set train.lora_rank=0$"):
        what.check(tiny_painter.base, tiny_painter, TRAINING.model_copy(update={"lora_rank": 4}))
    with pytest.raises(UserError, match=r"generators.base=text_to_image, and .* is an inpainting model"):
        objective("category", base="text_to_image").check(tiny_painter.base, tiny_painter, TRAINING)
    parts = load_base(tiny_painter.base, tiny_painter, SETTINGS)
    made = make_generators(parts, ("personality",))["personality"]
    folder.save(made, str(tmp_path / "by-style"), made_from=tiny_painter.base)
    wrong = objective("category", category=str(tmp_path / "by-style"))
    with pytest.raises(UserError, match=r"is a personality-wise generator; give it as generators.personality$"):
        wrong.check(tiny_painter.base, tiny_painter, TRAINING)
    objective("category", personality=str(tmp_path / "by-style")).check(tiny_painter.base, tiny_painter, TRAINING)


def test_a_record_is_the_mean_over_all_workers_rows() -> None:
    what = GeneratorObjective("category", GeneratorsConfig(rare_weight=0.5), tuple(Categories(CATEGORIES).all))
    rows = torch.tensor([[[1.0, 0.0], [3.0, 0.4]], [[2.0, 0.0], [6.0, 0.0]]])  # two workers with two rows each
    record = what.record(3, rows, None, rates={"copy": 1e-4, "identifiers": 1e-2})
    assert record == pytest.approx((3, 3.0, 0.1, 3.05, 1e-4, 0.0))
    assert what.read(list(record)) == record
