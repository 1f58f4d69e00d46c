"""Inception with random weights: clean-fid's features, and what is done with files that hold code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.fid import inception_fid, stack
from p2i_ray.evaluate.metrics.inception_network import CleanInception, plain_weights
from tests.support.generated_rows import picture


class RandomInception(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """Keeps the weights that it starts with."""

    def load_state_dict(self, *args: object, **kwargs: object) -> None:
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "none.pth")
    torch.manual_seed(0)
    network = RandomInception("random", ["2048"], feature_extractor_weights_path=str(folder / "none.pth"))
    for name, tensor in network.state_dict().items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(tensor)  # so that pictures still differ after 20 layers
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def test_as_torch_fidelity_and_torchmetrics_where_nothing_is_resized(weights: Path) -> None:
    pictures = [picture(1, (299, 299, 3)), picture(2, (299, 299, 3))]
    expected = FeatureExtractorInceptionV3("same", ["2048"], feature_extractor_weights_path=str(weights))
    found = CleanInception(weights)(pictures)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, expected(stack(pictures))[0], atol=1e-5, rtol=1e-4)
    assert (found[0] - found[1]).norm() > 1e-3 * found[0].norm()
    fid, prepare = inception_fid(weights)
    torch.testing.assert_close(found, fid.inception(prepare(pictures)), atol=1e-5, rtol=1e-4)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Evil(str(tmp_path / "made"))}, tmp_path / "evil.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 and no more")
    for name in ("evil.pth", "cut.pth"):
        with pytest.raises(UserError, match=f"{name} is damaged, or holds more than tensors"):
            inception_fid(tmp_path / name)
    with (
        pytest.raises(UserError, match=r"nowhere\.pth can't be read: No such file"),
        plain_weights(tmp_path / "nowhere.pth"),
    ):
        pass
    assert not (tmp_path / "made").exists()
