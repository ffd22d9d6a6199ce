"""Seven networks of one's own, from the first recording to energy and import."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spikesam
from tests.first_hour.networks import NETWORKS, SAMPLES, STEPS, OwnNetwork

pytestmark = [
    pytest.mark.filterwarnings("ignore:why. the axes of the model's input"),  # of `recurrent`
]


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.long if name == "sew_resnet" else ())
        for name in NETWORKS
    ]
)
def own(request: pytest.FixtureRequest) -> OwnNetwork:
    torch.manual_seed(0)
    network = NETWORKS[request.param]()
    network.model.eval()
    return network


def has_classes(own: OwnNetwork, output: torch.Tensor) -> bool:
    return own.answers is not None and output.shape[-1] > 1


def recorded(own: OwnNetwork, out: Path, **options: Any) -> torch.Tensor:
    """The output of a model that is recorded as the tutorial does."""
    gradients = nullcontext() if "why" in options else torch.no_grad()
    with gradients, spikesam.record(own.model, out, **options) as recording:
        output = own.model(own.spikes)
        recording.finish(output, answers=own.answers)
    return output.detach()


def test_record_explain_report(own: OwnNetwork, tmp_path: Path) -> None:
    output = recorded(own, tmp_path)
    answers = [-1] * SAMPLES
    if has_classes(own, output):
        scores = output.sum(0) if output.ndim == 3 else output
        answers = torch.where(scores.any(1), scores.argmax(1), -1).tolist()  # silence says nothing
    with spikesam.open_raster(tmp_path) as raster, spikesam.explain(tmp_path) as maps:
        assert (raster.n_samples, raster.timesteps) == (SAMPLES, STEPS)
        assert raster.predictions.tolist() == answers
        assert all(raster[layer.name][:].any() for layer in raster.layers)
        for name in maps:
            assert np.isfinite(maps[name].sum[:]).all()
            assert maps[name].sum[:].any() == raster[name][:-1].any()  # SAM looks back
    page = spikesam.report(tmp_path).read_text()
    assert "NaN" not in page.split("<script", 2)[1]


def test_check(own: OwnNetwork) -> None:
    assert {finding.severity for finding in spikesam.check(own.model, own.spikes).findings} <= {
        "note"
    }


def test_maps_in_one_call(own: OwnNetwork) -> None:
    """Relevance of maps needs a target, of classes none."""
    assert spikesam.explain(own.model, own.spikes).n_samples == SAMPLES
    if own.answers is None:
        with pytest.raises(spikesam.InputError, match="give as target a function of it"):
            spikesam.explain(own.model, own.spikes, method="relevance")
    options = {} if own.answers else {"target": own.target}
    maps = spikesam.explain(own.model, own.spikes, method="relevance", **options)
    assert maps.origin == "the model was recorded"


def test_relevance_and_energy_without_an_import(own: OwnNetwork, tmp_path: Path) -> None:
    """Without biases, relevance of the input is the target; here only that there is some."""
    output = recorded(own, tmp_path, why=own.target, operations=True)
    with spikesam.explain(tmp_path, method="relevance") as maps:
        assert all(np.isfinite(maps[name].sum[:]).all() for name in maps)
        assert any(maps[name].sum[:].any() for name in maps)
    assert f"Mean of {SAMPLES} samples" in str(energy := spikesam.energy(tmp_path))
    assert "synaptic operations" in repr(energy) and output.isfinite().all()


def test_import(own: OwnNetwork, tmp_path: Path) -> None:
    """Of outputs that are no classes nobody says a class."""
    if own.refusal:
        with pytest.raises(spikesam.NetworkError, match=own.refusal) as refused:
            spikesam.from_torch(own.model, own.spikes)
        assert "\n" not in str(refused.value)
        return
    network = spikesam.from_torch(own.model, own.spikes)
    classes = has_classes(own, recorded(own, tmp_path, network=network))
    compared = spikesam.compare(own.model, network, own.spikes)
    assert compared.runs.differ[compared.runs.precision == "float32"].tolist() == [0]
    assert ("answers of" in str(compared)) == classes
    assert ("outputs of" in str(compared)) != classes
    edited = spikesam.edit(tmp_path, layer=0, all=True)
    assert ("class" in str(edited)) == classes
    assert "SynOps" in str(spikesam.energy(tmp_path))
    assert spikesam.explain(tmp_path, method="relevance").n_samples == SAMPLES
    assert spikesam.report(tmp_path).is_file()
