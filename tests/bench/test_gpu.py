"""The GPU's benchmark, run on the toy model: the same code, but for the device and the size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import gpu
from p2i_ray.planning import architectures, full_size
from tests.support.tiny_xl import XlModels


@pytest.mark.slow
def test_tiny_run_measures_training_and_painting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench-gpu.json"
    what = ["--batch", "2", "--paint-batch", "1", "--modes", "deterministic", "channels_last"]
    once = ["--warm-up", "0", "--repeats", "1"]
    assert gpu.main(["--tiny", *what, *once, "--out", str(out)]) == 0
    figures = json.loads(out.read_text("utf-8"))["figures"]
    assert {name.rsplit("_b", 1)[0] for name in figures} == {"train", "paint"}
    assert figures["train_b2_deterministic_images_per_s"] == pytest.approx(2000 / figures["train_b2_deterministic_ms"])
    assert all(value > 0 for value in figures.values())
    assert {"train_b2_channels_last_ms", "paint_b1_channels_last_ms"} <= figures.keys()
    assert (
        figures["train_b2_deterministic_repeats"] == figures["paint_b1_channels_last_repeats"] == 1
    )  # a CPU always does
    assert "paint_b1_channels_last_images_per_s" in capsys.readouterr().out


def test_a_step_changes_the_weights_and_keeps_them_in_bf16() -> None:
    trainer = gpu.Trainer(str(gpu.TINY), rows=2, resolution=64, mode="eager", device=torch.device("cpu"))
    before = [p.detach().clone() for p in trainer.masters]
    for _ in range(2):
        trainer.step()
    moved = [bool((old != new).any()) for old, new in zip(before, trainer.masters, strict=True)]
    assert sum(moved) / len(moved) > 0.9
    assert {p.dtype for p in trainer.model.parameters()} == {torch.bfloat16}
    assert all(torch.equal(p, m.bfloat16()) for p, m in zip(trainer._parameters, trainer.masters, strict=True))


def test_without_a_card_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert gpu.main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_peaks_by_card() -> None:
    assert gpu.peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert gpu.peak_of("NVIDIA H200") == 989e12
    assert gpu.peak_of("NVIDIA GeForce RTX 4090") is None


def test_a_stand_in_folder_loads_like_any_other(tmp_path: Path) -> None:
    from p2i_ray.diffusion.model import loading

    architecture = architectures.read(str(gpu.TINY))
    parts = full_size.build(architecture, gpu.TOKEN, full_size.build_scheduler(architecture))
    parts.pipeline().save_pretrained(tmp_path, safe_serialization=True)
    loaded = loading.load(str(tmp_path), gpu.config_of(str(tmp_path)))
    assert loaded.token_ids[0] == parts.token_ids[0]
    assert loaded.tokenizers[0].model_max_length == parts.text_encoders[0].config.max_position_embeddings


def test_the_same_of_stable_diffusion_xl(xl_models: XlModels) -> None:
    once = {"rows": 2, "resolution": 16, "mode": "eager", "times": gpu.Times(0, 2), "device": torch.device("cpu")}
    for bench in (gpu.train, gpu.paint):
        figures = bench(str(xl_models.base), **once)
        assert figures["tflops"] > 0 and figures["repeats"] == 1
    assert gpu.SERIES["sdxl"].resolution == 1024
