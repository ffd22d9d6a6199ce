"""Accuracy over time from one simulation: what the readout would have said had it stopped earlier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from spikesam.backends.network import LIF, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.pipeline.conversion.latency import answers_over_time, milestones, settles_at, write_curves
from spikesam.pipeline.training.export import export_network
from spikesam.recordings.raster.batch import RasterBatch, pack
from tests.pipeline.small_networks import small_model


def test_answers_by_hand():
    # Two neurons fire at t = 1 and at t = 2, 3. Class 0 gets 1 for the first, class 1 gets 1 for the second.
    layer = Layer("fc1", np.ones((2, 1), np.float32), LIF(1.0))
    network = Network((1, 1, 1), 4, (layer,), Readout(np.eye(2, dtype=np.float32)))
    spikes = np.zeros((4, 1, 2, 1, 1), bool)
    spikes[1, 0, 0] = spikes[2:, 0, 1] = True
    batch = RasterBatch({"input": pack(spikes[:, :, :1]), "fc1": pack(spikes)}, np.array([[1, 2]], np.float32))
    # After 1 step 0:0 and after 3 steps 1:1, ties that go to class 0; after all four 1:2.
    assert answers_over_time(network, batch.spikes["fc1"]).tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_stopping_early_is_the_same_as_asking_earlier(steps):
    whole = quantise(export_network(small_model()))
    layers = tuple(
        Layer(
            layer.name, replace(given, gain=given.gain[:steps]), replace(layer.neuron, bias=layer.neuron.bias[:steps])
        )
        for layer in whole.layers
        for given in layer.inputs
    )
    shorter = replace(whole, timesteps=steps, layers=layers)
    planes = np.random.default_rng(0).random((8, 5, 6, 16, 24)) < 0.3
    backend = TorchBackend("cpu")
    (batch,) = backend.run(whole, [planes], 5)
    (early,) = backend.run(shorter, [planes[:steps]], 5)
    answers = answers_over_time(whole, batch.spikes[whole.raster_names[-1]])
    assert answers[:, steps - 1].tolist() == early.readout.argmax(1).tolist()


def test_curves_as_csv(tmp_path):
    curves = pd.DataFrame({"float32": [0, 0.5], "fixed": [0.25, 1 / 3]}, pd.RangeIndex(1, 3, name="t"))
    write_curves(tmp_path / "accuracy.csv", curves)
    assert (tmp_path / "accuracy.csv").read_text() == "t,float32,fixed\n1,0.0000,0.2500\n2,0.5000,0.3333\n"


def test_settles_at_the_step_after_the_last_one_below():
    curve = np.array([0.1, 0.9, 0.8, 0.9, 0.95])
    assert [settles_at(curve, level) for level in (0, 0.85, 0.9, 0.95, 0.96)] == [1, 4, 4, 5, None]


def test_milestones():
    assert list(milestones(500)) == [32, 64, 100, 250, 500]
    assert list(milestones(20)) == [20]
