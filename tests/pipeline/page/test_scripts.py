"""The page's scripts without a browser, in node: their own tests, and the SAM of random spikes
beside Python's.
"""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import spikesam
from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.maps.methods.sam import sam
from spikesam.pipeline.maps.relevance import relevance
from spikesam.pipeline.measures.statistics import softmax
from spikesam.pipeline.page._content import spike_trains
from spikesam.pipeline.page._integers import integers_of, multiplying_counts
from spikesam.pipeline.page.write import HERE
from spikesam.recordings.raster.reader import RasterReader
from tests.backends.graphs import graphs
from tests.backends.networks import multiplied, summed_limits

missing = shutil.which("node") is None and "CI" not in os.environ
pytestmark = pytest.mark.skipif(missing, reason="node is missing: the page was not tested")


def node(*arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["node", *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_their_own_tests() -> None:
    node("--test", str(Path(__file__).parent / "js" / "sam.test.js"))


@pytest.mark.parametrize("timesteps", [1, 7, 8, 33])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 3.0])
def test_sam_is_that_of_python(timesteps: int, gamma: float) -> None:
    spikes = np.random.default_rng(timesteps).random((timesteps, 1, 3, 4, 5)) < 0.3
    packed = np.packbits(spikes.reshape(timesteps, -1), axis=1)
    trains = spike_trains(packed, 60)
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ decodeSpikes }} from "{(HERE / "js" / "spikes.js").as_uri()}";
        import {{ bandOf, mapOfStep, momentsOf, sumOfMaps }}
            from "{(HERE / "js" / "sam.js").as_uri()}";
        const {{ trains, steps, gamma }} = JSON.parse(readFileSync(0, "utf8"));
        const spikes = decodeSpikes(Uint8Array.from(trains), [3, 4, 5], steps);
        const ofStep = (_, step) => [...mapOfStep(spikes, gamma, step, steps).map];
        const maps = Array.from({{ length: steps }}, ofStep);
        const whole = [sumOfMaps, bandOf].map((of) => [...of(spikes, gamma, steps).map]);
        console.log(JSON.stringify([maps, ...whole, [...momentsOf(spikes, gamma, steps)]]));
    """
    given = json.dumps({"trains": trains.ravel().tolist(), "steps": timesteps, "gamma": gamma})
    each, total, band, moments = json.loads(
        node("--input-type=module", "--eval", script, given=given)
    )
    expected = sam(spikes, gamma)[:, 0]
    assert np.allclose(np.reshape(each, expected.shape), expected, rtol=1e-6, atol=1e-6)
    assert np.allclose(np.reshape(total, (4, 5)), expected.sum(axis=0), rtol=1e-6, atol=1e-5)
    assert np.allclose(moments, expected.sum(axis=(1, 2)), rtol=1e-6, atol=1e-5)
    neurons = sam(spikes.reshape(timesteps, 1, 1, 60, 1), gamma)[:, 0, :, 0]
    assert np.allclose(np.reshape(band, (60, timesteps)), neurons.T, rtol=1e-6, atol=1e-6)


def exact_floats() -> Network:
    """Numbers that float32 adds up exactly: multiples of an eighth, leaks of a half, averages of
    four.
    """
    rng = np.random.default_rng(0)
    weights = [
        rng.integers(-8, 12, shape) / np.float32(8)
        for shape in ((3, 2, 3, 3), (4, 3, 2, 2), (5, 4))
    ]
    layers = (
        Layer(
            "conv1",
            Input(Conv(weights[0], padding=1)),
            LIF(0.5, 0.75, bias=np.full((1, 3), 0.125), fires_at_threshold=True),
        ),
        Layer("conv2", Conv(weights[1], pool=2), LIF(0.5, 0.5, reset="zero", synaptic_leak=0.5)),
        Layer("fc1", Input(weights[2]), LIF(1.0, 0.25, min_v_mem=-0.5)),
    )
    return Network(
        (2, 4, 4), 9, layers, Readout(rng.integers(-8, 9, (3, 5)) / np.float32(8)), "spikes"
    )


@pytest.mark.long
@example(network=exact_floats(), seed=1)
@example(network=exact_floats(), seed=2)
@example(
    network=summed_limits(np.random.default_rng(3)), seed=1
)  # gains of 32767: products beyond 32 bits
@example(
    network=quantise(multiplied(np.random.default_rng(0), counts=False)), seed=2
)  # attention, gates, sums
@given(
    network=graphs(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=10)
def test_what_if_in_any_graph_or_chain(network: Network, seed: int) -> None:
    """Some places and channels of a layer fall silent: what fires then, and the sums of the
    readout, as in Python.
    """
    assume(not multiplying_counts(network))
    rng = np.random.default_rng(seed)
    shape = (network.timesteps, 1, *network.input_shape)
    raster = spikesam.simulate(
        network,
        rng.random(shape) < rng.choice((0.2, 0.6)),
        backend="event",
        precision=network.precision,
    )
    name = str(rng.choice(network.raster_names))
    channels, height, width = raster[name].shape
    mask = np.zeros((channels, height, width), np.bool_)
    cells = rng.choice(height * width, rng.integers(1, height * width + 1), replace=False)
    silent = rng.choice(channels, rng.integers(0, channels + 1), replace=False)
    mask.reshape(channels, -1)[:, cells] = True
    mask[silent] = True
    silenced = {"layer": name, "cells": cells.tolist(), "channels": silent.tolist()}
    (found,) = what_if(network, raster, [0], silenced)
    expected = spikesam.edit(raster, network, name, mask)
    for layer, fired in zip(raster.layers, found["fired"], strict=True):
        packed = expected.raster.packed(layer, 0)
        assert fired == spike_trains(packed, layer.neurons).ravel().tolist(), layer.name
    assert found["sums"] == expected.after.readout[0].tolist()
    assert np.allclose(found["scores"], expected.after.shares[0])
    spikes = [expected.raster[layer][0] for layer in network.raster_names]
    for shown, relevant in zip(
        found["relevance"], relevance(network, spikes, network.classes - 1), strict=True
    ):
        neurons = relevant.reshape(len(relevant), -1).T
        assert np.allclose(
            np.reshape(shown, neurons.shape), neurons, rtol=1e-6, atol=1e-7 * np.abs(neurons).max()
        )


def what_if(
    network: Network, raster: RasterReader, samples: list[int], silenced: dict[str, Any]
) -> list[Any]:
    """What the page's scripts say of each sample; None where they refuse."""
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ editedSample }} from "{(HERE / "js" / "model.js").as_uri()}";
        import {{ decodeSpikes }} from "{(HERE / "js" / "spikes.js").as_uri()}";
        import {{ makeTasks }} from "{(HERE / "js" / "tasks.js").as_uri()}";
        const {{ run, samples, silenced }} = JSON.parse(readFileSync(0, "utf8"));
        const compute = makeTasks([run]);
        const requestOf = ({{ number, spikes, sample }}) => {{
            const trains = spikes.map((layer) => layer.trains);
            return {{ run: 0, sample: number, trains, scores: sample.scores }};
        }};
        const answers = [];
        for (const [position, {{ trains, scores }}] of samples.entries()) {{
            const spikes = run.layers.map(({{ shape }}, layer) =>
                decodeSpikes(Uint8Array.from(trains[layer]), shape, run.steps));
            const loaded = {{ number: `sample ${{position}}`, spikes, sample: {{ scores }} }};
            const edit = await compute({{ ...requestOf(loaded), silenced }});
            const edited = editedSample(run, loaded, edit);
            if (edited.refused) {{
                answers.push(null);
                continue;
            }}
            const heats = await compute({{ ...requestOf(edited), which: scores.length - 1 }});
            const fired = edited.spikes.map((layer) => [...layer.trains]);
            const relevance = heats.map((heat) => [...heat.map]);
            const sums = [...edited.whatIf.sums];
            answers.push({{ ...edited.whatIf, sums, fired, relevance }});
        }}
        console.log(JSON.stringify(answers));
    """
    layers = [
        {"name": layer.name, "shape": layer.shape, "band": True, "start": 0}
        for layer in raster.layers
    ]
    run = {
        "integers": integers_of(network),
        "answers": {"unit": "share"},
        "layers": layers,
        "steps": raster.timesteps,
    }
    scores = softmax(raster.readout * raster.header.readout_scale / network.timesteps).tolist()
    each = [
        {
            "trains": [
                spike_trains(raster.packed(of, at), of.neurons).ravel().tolist()
                for of in raster.layers
            ],
            "scores": scores[at],
        }
        for at in samples
    ]
    given = json.dumps({"run": run, "samples": each, "silenced": silenced})
    return list(json.loads(node("--input-type=module", "--eval", script, given=given)))


def test_what_if_is_refused_where_float32_fires_otherwise() -> None:
    """Another bias or another readout than that of the network that fired: both samples are
    refused.
    """
    network = exact_floats()
    spikes = np.random.default_rng(0).random((9, 2, 2, 4, 4)) < 0.5
    raster = spikesam.simulate(network, spikes, backend="event", precision="float32")
    silenced = {"layer": "conv1", "cells": [1, 5], "channels": []}
    assert all(
        each["close"] for each in what_if(network, raster, [0, 1], silenced)
    )  # eighths often are at a threshold
    muted = replace(network.layers[2], neuron=LIF(1.0, bias=-np.ones((1, 5))))
    for wrong in (
        replace(network, layers=(*network.layers[:2], muted)),
        replace(network, readout=Readout(2 * network.readout.weight)),
    ):
        assert what_if(wrong, raster, [0, 1], silenced) == [None, None]
