"""The code of the README, and of the pages that begin where it ends, runs as printed."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest
import snntorch
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.networks.checkpoint import load

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
CONVERT = (ROOT / "docs" / "convert.md").read_text(encoding="utf-8")
NETWORKS = "\n".join(
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("your-network", "imports", "weights-and-spikes", "difference")
)


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def block(page: str, containing: str) -> str:
    (found,) = (text for text in blocks(page) if containing in text)
    return found


class Digits(nn.Module):
    """A small snnTorch network that runs all its steps itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = (
            nn.Conv2d(1, 4, 3, padding=1),
            snntorch.Leaky(beta=0.9, threshold=0.3),
        )
        self.fc, self.lif2 = nn.Linear(4 * 8 * 8, 10), snntorch.Leaky(beta=0.9, threshold=0.3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        membrane1, membrane2, fired = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for _ in range(5):
            spikes, membrane1 = self.lif1(self.conv(images), membrane1)
            spikes, membrane2 = self.lif2(self.fc(spikes.flatten(1)), membrane2)
            fired.append(spikes)
        return torch.stack(fired)


def test_an_own_ann_becomes_spikes_and_maps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3),
    )
    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    names = {"model": model, "calibration": images, "images": images, "labels": labels}
    exec(block(CONVERT, "spikesam.convert("), names)
    assert "errors of activations" in capsys.readouterr().out
    assert (tmp_path / "conversion.png").stat().st_size > 10_000
    assert names["maps"].n_samples == 4


@pytest.mark.parametrize("page", [README, START])
def test_your_own_network_ends_at_its_page(tmp_path, monkeypatch, page):
    """The lines run twice, as a cell of a notebook does; the page has the images and names."""
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    images, labels = (
        torch.tensor(digits.images[:, None] / 16, dtype=torch.float32),
        torch.tensor(digits.target),
    )
    loader = DataLoader(TensorDataset(images[:6], labels[:6]), batch_size=3)
    names = {
        "torch": torch,
        "model": Digits().eval(),
        "loader": loader,
        "names": [f"digit {n}" for n in range(10)],
    }
    for _ in range(2):
        exec(block(page, "spikesam.record("), names)
    shown = (tmp_path / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "digit 5" in shown
    assert '"picture":{"shape":[8,8]' in shown
    assert names["recording"].raster.n_samples == 6


def test_the_first_page_draws_maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    for _ in range(2):
        exec(block(START, "plt.subplots("), {})
    assert np.ptp(matplotlib.image.imread("maps.png")[..., :3]) > 0.5


def test_your_own_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block(NETWORKS, "save(Checkpoint("), names)
    checkpoint = load("runs/mine.safetensors")
    assert quantise(checkpoint.network).shapes[-1] == (20, 1, 1)


def test_the_ways_in(tmp_path, monkeypatch, capsys):
    """Record, import, build, write down, as printed; files of other programs, which are not there,
    are left out.
    """
    monkeypatch.chdir(tmp_path)
    elsewhere = (
        "theirs.nir",
        "network.net",
        "save(Checkpoint(",
        "SummaryWriter",
    )  # or tried by another test
    tried = [code for code in blocks(NETWORKS) if not any(each in code for each in elsewhere)]
    names: dict[str, Any] = {}
    for code in [
        each for each in tried for _ in range(2)
    ]:  # as cells of a notebook that are run again
        exec(compile(code, "your-network.md", "exec"), names)
    assert len(tried) == 8
    assert names["recurrent"].inputs[1].sources[0].layer == "conv3"
    assert "event: 0 of 20,880 bits differ in float32" in capsys.readouterr().out
    assert names["raster"].predictions.shape == (2,)
    assert {"arrays.h5", "chip.h5", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert names["maps"].n_samples == 2
