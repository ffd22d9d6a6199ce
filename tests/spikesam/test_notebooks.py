"""What a notebook shows of an object is one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import spikesam
from spikesam.pipeline.images.datasets import open_dataset
from spikesam.pipeline.networks.samples import choose_samples

LONGEST = 400  # characters


def test_every_object_is_one_line() -> None:
    checkpoint = spikesam.load("cluttered-digits")
    network, raster = checkpoint.network, spikesam.simulate(checkpoint, samples=2)
    maps = spikesam.explain(raster)
    events = spikesam.Events(t=range(50), x=[1] * 50, y=[0] * 50, polarity=[1] * 50, sensor=(4, 6))
    layer = network.layers[0]
    table = pd.DataFrame({"layer": ["a"] * 30})
    by_channel = spikesam.Layer(
        "a", np.ones((40, 3)), spikesam.LIF(np.full(40, 0.5), np.linspace(1, 2, 40))
    )
    shown = {
        "checkpoint": checkpoint,
        "network": network,
        "fixed": spikesam.quantise(network),
        "ann": spikesam.load("cluttered-digits-ann"),
        "layer": layer,
        "by_channel": by_channel,
        "neuron": layer.neuron,
        "integers": spikesam.quantise(network).layers[0].neuron,
        "readout": network.readout,
        "raster": raster,
        "recorded": raster["conv1"],
        "table": raster.samples,
        "maps": maps,
        "map": maps["conv1"],
        "samples": choose_samples(None, checkpoint, 2, 0),
        "dataset": open_dataset("cluttered-digits", "val", size=20),
        "events": events,
        "binned": spikesam.EventBinning(height=4, width=6, bins=2, window_us=10).binned(events),
        "spikes": spikesam.SpikeEvents(range(50), range(50), range(50), (50, 50, 50)),
        "comparison": spikesam.Comparison(table, table, table),
    }
    lines = {name: repr(each) for name, each in shown.items()}
    bad = {
        name: line
        for name, line in lines.items()
        if "\n" in line or len(line) > LONGEST or " object at 0x" in line
    }
    assert not bad
    assert lines["network"].startswith("<Network: input 6×80×80, conv1 24×40×40, ")
    assert lines["network"].endswith("fc1 128×1×1, 10 outputs; 16 steps, float32>")
    inputs, neuron = (
        "Input(synapse=Dense(weight=(40 × 3)), gain=(1 × 40))",
        "LIF(leak=0.5, threshold=(40), bias=(1 × 40))",
    )
    assert lines["by_channel"] == f"Layer(name='a', inputs=({inputs}), neuron={neuron})"


def test_a_nir_graph_is_one_line_and_a_graph_of_nir(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    import copy
    import pickle

    network = spikesam.load("cluttered-digits").network
    graph = spikesam.to_nir(network, tmp_path / "a.nir")
    assert repr(graph).startswith("<NIRGraph: input, conv1.pool, conv1, ")
    assert isinstance(graph, nir.NIRGraph)
    for other in (
        nir.read(tmp_path / "a.nir"),
        pickle.loads(pickle.dumps(graph)),
        copy.deepcopy(graph),
    ):
        assert spikesam.from_nir(other).sha256 == network.sha256
