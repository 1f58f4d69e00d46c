"""The file of the Inception network that FID may be taken with, and whether it is there. Light to import."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection
from pathlib import Path

from p2i_ray.config import EvaluateConfig
from p2i_ray.errors import UserError

INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)


def weights() -> Path:
    """The place of torch-fidelity's conversion of the weights: in the folder of torch.hub.get_dir()."""
    cache = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(cache, "hub", "checkpoints", INCEPTION.rsplit("/", 1)[-1]).expanduser()


def check(settings: EvaluateConfig, metrics: Collection[str] = ("fid",)) -> None:
    """Check that what metrics need of Inception is installed.

    Args:
        settings: of the evaluation.
        metrics: names; fid and kid take Inception's features where evaluate.fid_features says so, fid_clean always.

    Raises:
        UserError: torch-fidelity or the weights aren't there; the message says where to get them.
    """
    chosen = settings.fid_features == "inception" and {"fid", "kid"} & set(metrics)
    if not chosen and "fid_clean" not in metrics:
        return
    asks, instead = (
        ("evaluate.fid_features=inception", "or set evaluate.fid_features=clip")
        if chosen
        else ("fid_clean", "or leave it out of the metrics")
    )
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError(f"{asks} needs torch-fidelity: pip install torch-fidelity, {instead}")
    if not weights().is_file():
        raise UserError(f"{asks} needs {weights()}; put {INCEPTION} there, {instead}")
