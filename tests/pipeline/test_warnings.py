"""A warning shows the line of the user that led to it, however deep in the package it is given."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import spikesam
from spikesam.common import warning


def silent_model() -> nn.Module:
    torch.manual_seed(0)
    fires = snntorch.Leaky(0.9, threshold=1e6, init_hidden=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), fires).eval()


def test_a_recording_an_explanation_and_a_page_of_silent_layers(tmp_path: Path) -> None:
    model, folder = silent_model(), tmp_path / "run"
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with torch.no_grad(), spikesam.record(model, folder) as recording:
            recording.finish(torch.stack([model(torch.rand(2, 1, 2, 2)) for _ in range(3)]))
        spikesam.explain(folder)
        spikesam.report(folder)
    of_package = [warned for warned in given if "nothing fires" in str(warned.message)]
    assert [str(warned.message).partition(":")[0] for warned in of_package] == [
        "record",
        "explain",
        "report",
    ]
    assert {warned.filename for warned in of_package} == {__file__}


def test_a_function_that_another_one_of_the_package_calls(tmp_path: Path) -> None:
    raster = spikesam.write_raster(tmp_path / "r.h5", {"a": np.zeros((1, 2, 1, 1, 1), bool)})
    with pytest.warns(UserWarning, match="nothing fires") as given:
        spikesam.explain(raster, out=tmp_path / "maps.h5")
    assert {warned.filename for warned in given} == {__file__}


def test_without_a_caller_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a thread whose first function is one of this package."""
    monkeypatch.setattr(warning, "_package", lambda frame: "spikesam")
    with pytest.warns(UserWarning, match="^here$"):
        warning.warn("here")
