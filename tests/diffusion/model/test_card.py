"""The model card and the training record."""

from __future__ import annotations

from pathlib import Path

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.diffusion.backbones.families import STABLE_DIFFUSION
from p2i_ray.diffusion.model import card
from p2i_ray.diffusion.model.card import StepRecord

CURVE = [
    StepRecord(step=n, inpaint=0.5, cl_background=3.0, cl_name=2.0, total=0.55, lr=1e-5, grad_norm=1.0) for n in (1, 2)
]
PAINTER = DiffusionConfig(base="models/base", clip="models/clip")


def written(diffusion: DiffusionConfig, settings: TrainConfig) -> str:
    return card.write_card(
        STABLE_DIFFUSION,
        diffusion,
        settings,
        card.record("models/base", diffusion, settings, rows=9, seed=0, curve=CURVE),
    )


def test_the_card_tells_of_every_round(tmp_path: Path) -> None:
    settings = TrainConfig()
    first = card.record(str(tmp_path), PAINTER, settings, rows=100, seed=0, curve=CURVE)
    (tmp_path / card.RECORD).write_text(card.dump(first))
    second = card.record(str(tmp_path), PAINTER, settings, rows=60, seed=0, curve=CURVE[:1])
    assert [(r["steps"], r["rows"]) for r in second["rounds"]] == [(2, 100), (1, 60)]
    text = card.write_card(STABLE_DIFFUSION, PAINTER, settings, second)
    assert text.startswith("---\nlibrary_name: diffusers")
    assert "| 1 | 2 | 100 | 0.5000 | 3.000 | 2.000 |" in text and "| 2 | 1 | 60 |" in text


def test_the_card_says_how_it_was_trained() -> None:
    text = written(PAINTER, TrainConfig())
    assert "Trained: the UNet, the embedding of `<background>`, the text encoder;" in text
    for row in (
        "| learned token | `<background>` |",
        "| LoRA | none: full fine-tuning |",
        "| weighting of Eq. 3 | none |",
        "| weights saved | the last |",
    ):
        assert row in text
    assert "load_lora_weights" not in text

    text = written(PAINTER, TrainConfig(lora_rank=8, lora_alpha=4, min_snr_gamma=5, ema_decay=0.999, lr_text=0))
    assert "Trained: adapters on the UNet's attention, the embedding of `<background>`, not the text encoder;" in text
    for row in (
        "| LoRA | rank 8, alpha 4, on attention layers |",
        "| weighting of Eq. 3 | min-SNR, gamma 5 |",
        "| weights saved | exponential moving average, decay 0.999 |",
    ):
        assert row in text
    assert 'load_lora_weights("this/folder/lora")' in text and "load_textual_inversion" in text


def test_the_card_of_a_model_without_a_token() -> None:
    diffusion = PAINTER.model_copy(update={"token": None, "widen": True})
    text = written(diffusion, TrainConfig(lora_rank=2))
    assert "| learned token | none (an ablation)" in text and "None" not in text
    assert 'prompt="Steel thermos bottle 500 ml"' in text and "load_textual_inversion" not in text
    assert "widened to 9 input channels" in text


def test_the_adapter_is_relative_to_where_lora_began(tmp_path: Path) -> None:
    lora, full = TrainConfig(lora_rank=2), TrainConfig()

    def after(previous: Path | str, settings: TrainConfig, name: str) -> tuple[Path, str | None]:
        record = card.record(str(previous), PAINTER, settings, rows=9, seed=0, curve=CURVE)
        (tmp_path / name).mkdir()
        (tmp_path / name / card.RECORD).write_text(card.dump(record))
        return tmp_path / name, record["lora_base"]

    one, base_one = after("models/base", lora, "one")
    two, base_two = after(one, lora, "two")
    three, base_three = after(two, full, "three")
    _, base_four = after(three, lora, "four")
    assert (base_one, base_two, base_three, base_four) == ("models/base", "models/base", None, str(three))


def test_the_card_names_models_not_places() -> None:
    diffusion = PAINTER.model_copy(update={"base": "/home/ann/models/sd15-inpainting/", "clip": "s3://our-bucket/clip"})
    settings = TrainConfig(lora_rank=2)
    text = card.write_card(
        STABLE_DIFFUSION,
        diffusion,
        settings,
        card.record(diffusion.base, diffusion, settings, rows=9, seed=0, curve=CURVE),
    )
    assert "Base model `sd15-inpainting`; frozen CLIP\n`clip`" in text
    assert 'from_pretrained("path/to/sd15-inpainting"' in text
    assert not any(word in text for word in ("ann", "our-bucket", "/home", "s3:"))


def test_the_card_names_a_model_of_the_hub_s_cache_as_the_hub_does() -> None:
    base = "/home/ann/.cache/huggingface/hub/models--owner--sd--inpainting/snapshots/8a4f"
    diffusion, settings = PAINTER.model_copy(update={"base": base}), TrainConfig(lora_rank=2)
    text = card.write_card(
        STABLE_DIFFUSION, diffusion, settings, card.record(base, diffusion, settings, rows=9, seed=0, curve=CURVE)
    )
    assert "Base model `owner/sd--inpainting`" in text and 'from_pretrained("owner/sd--inpainting"' in text
