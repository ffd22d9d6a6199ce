"""The page of a recorded model whose operations were counted while it ran."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesam
from spikesam.pipeline.page.write import report
from tests.pipeline.page.pages import runs_of


class Fires(nn.Module):
    """A spike where a number is at least 1."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 1).to(x)


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """2 samples and 2 steps of a linear layer with one weight of 0,
    which takes spikes and numbers.
    """
    model = nn.Sequential(nn.Linear(3, 2, bias=False), Fires()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 1.0]]))
    inputs = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    folder, options = tmp_path / "model", {"layers": {"1": "lif"}, "layout": "TB..."}
    with torch.no_grad(), spikesam.record(model, folder, operations=True, **options) as recording:
        recording.finish(model(inputs))
    return folder


def test_what_it_costs_without_a_network(counted: Path, tmp_path: Path) -> None:
    """The spikes reach 2 neurons, and 1 and 2; a number reaches 2."""
    (content,) = runs_of(report(counted, tmp_path / "page.html"))
    energy, samples = content["energy"], content["samples"]
    assert [row["layer"] for row in energy["rows"]] == ["0", "lif"]
    assert energy["counted"].startswith("Operations were counted while the model ran")
    assert [sample["energy"]["0"]["operations"] for sample in samples] == [2, 3]
    joules = [sample["energy"]["0"]["joules"] for sample in samples]
    assert joules == pytest.approx([2 * 0.9e-12 + 2 * 4.6e-12, 3 * 0.9e-12])
    assert [sample["maps"]["energy"] for sample in samples] == [[], []]
    assert content["notes"] == []


def test_counts_of_another_raster_are_not_shown(counted: Path, tmp_path: Path) -> None:
    spikes = {"lif": np.zeros((1, 2, 2, 1, 1), bool)}
    spikesam.write_raster(counted / "raster.h5", spikes, overwrite=True)
    (content,) = runs_of(report(counted, tmp_path / "page.html"))
    assert content["energy"] is None
    assert [note for note in content["notes"] if "operations.safetensors is not shown" in note]
