"""Recordings on the model of Loihi: synapses against the equations, spikes, sums, and refusals."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import spikesam
from spikesam.backends.network import (
    LIF,
    Attention,
    Conv,
    Dense,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.backends.network.step import current_of
from spikesam.common.errors import InputError
from spikesam.pipeline.chips import _process as process
from spikesam.pipeline.chips._circuit import Circuit, Group, circuit_of
from spikesam.pipeline.chips._ledger import ChipLedger
from spikesam.pipeline.chips._process import Simulated
from spikesam.pipeline.chips._synapses import SourceSynapses, Synapses
from spikesam.pipeline.chips.chip import _first_difference, network_of_steps
from spikesam.pipeline.chips.description import ChipDescription, Price, description_of
from spikesam.pipeline.chips.mapping import placed
from spikesam.pipeline.comparison.pair import Bit
from spikesam.pipeline.drawing.chip import core_corners, draw_mesh

STEPS = 12
CHANGING = np.arange(1.0, STEPS + 1).repeat(2).reshape(STEPS, 2)  # gains, by step


def network(**neuron: Any) -> Network:
    """Convolutions with pooling, stride and padding, a shortcut with a delay, a dense layer."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return random.normal(0, 0.5, shape).astype(np.float32)

    conv1 = Conv(weights(4, 2, 3, 3), padding=1, pool=2)
    conv2 = Conv(weights(4, 4, 3, 3), padding=1)
    shortcut = Input(Identity(), Source("conv1", 2), 0.5)
    layers = (
        Layer("conv1", conv1, LIF(0.9, bias=[0.1, -0.1, 0, 0.2], **neuron)),
        Layer("conv2", (Input(conv2), shortcut), LIF(1.0)),
        Layer("fc1", Dense(weights(6, 64)), LIF(0.5, reset="zero", fires_at_threshold=True)),
    )
    return Network((2, 8, 8), STEPS, layers, Readout(weights(3, 6)), encoder="spikes")


def test_synapses_carry_the_currents_of_the_equations() -> None:
    random = np.random.default_rng(1)
    for channels, synapse in (
        (3, Conv(random.normal(size=(3, 2, 3, 2)).astype(np.float32), 2, stride=(2, 1), padding=1)),
        (5, Dense(random.normal(size=(5, 24)).astype(np.float32), 2, rows=(0, 1, -1, 7, 2, 2))),
        (2, Identity(spread=(1, 2, 1))),
    ):
        layer = Layer("a", Input(synapse, "input", np.full(channels, 1.0)), LIF(0.5))
        layer_input, shape = layer.inputs[0], (2, 8, 8)
        connection = SourceSynapses("input", "a", layer_input.sources[0], layer_input, shape)
        part = connection.made()
        spikes = random.random(shape) < 0.4
        currents = current_of(layer_input, layer_input.synapse.arranged(spikes.astype(np.int8)))
        sums = np.bincount(part.targets, part.weights * spikes.ravel()[part.origins], currents.size)
        np.testing.assert_allclose(sums, currents.ravel(), atol=1e-5)
        assert np.array_equal(connection.count(currents.size), part.count(currents.size))
        np.testing.assert_allclose(
            connection.reach(currents.size), part.reach(currents.size), rtol=1e-5
        )


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (Layer("a", Input(Identity(), "input", CHANGING), LIF(0.5)), "BNTT"),
        (Layer("a", Identity(), LIF(0.5, synaptic_leak=0.5)), "synaptic_leak"),
        (Layer("a", Identity(), LIF(0.5, min_v_mem=0.0)), "min_v_mem"),
        (
            Layer("a", Conv(np.ones((1, 2, 1, 1), np.float32), 2, pooling="max"), LIF(0.5)),
            "maximum",
        ),
        (Layer("a", Input(Attention(heads=1), ("input",) * 3), LIF(0.5)), "attention"),
    ],
)
def test_what_the_chip_has_no_part_for_is_refused_by_name(layer: Layer, named: str) -> None:
    size = 16 if named == "maximum" else 128
    refused = Network(
        (2, 8, 8), STEPS, (layer,), Readout(np.ones((2, size), np.float32)), encoder="spikes"
    )
    with pytest.raises(InputError, match=f"layer 'a': has .*{named}"):
        circuit_of(refused)


def test_fixed_point_is_refused() -> None:
    with pytest.raises(InputError, match="fixed point"):
        circuit_of(spikesam.quantise(network()))


def test_mappings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("sanafe")
    groups, loihi = circuit_of(network()).groups, description_of("loihi")
    assert (loihi.cores, loihi.capacity, loihi.place(5)) == (128, 1024, (0, 1))
    (tmp_path / "wrong.csv").write_text("layer;core\n")
    for mapping, message in (
        ({"conv9": [1]}, "names no layer 'conv9'"),
        ({"conv1": [128]}, "whole numbers from 0 to 127"),
        (tmp_path / "wrong.csv", "is no mapping"),
    ):
        with pytest.raises(InputError, match=message):
            placed(groups, loihi, mapping)
    with pytest.raises(InputError, match="core 3 would hold"):
        placed(groups, replace(loihi, capacity=100), {"conv1": [3], "conv2": [3]})
    (tmp_path / "right.csv").write_text("layer,core\nconv1,7\nconv1,8\n")
    cores = placed(groups, loihi, tmp_path / "right.csv")
    assert np.bincount(cores["conv1"])[7:].tolist() == [32, 32]
    assert {7, 8}.isdisjoint(cores["input"])


def test_a_chip_that_is_not_known_and_an_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="expected one of loihi"):
        description_of("other")
    monkeypatch.setattr("spikesam.pipeline.chips.description.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'spikesam\[chip\]'"):
        description_of("loihi")


def test_no_operation_has_a_price_in_sanafes_description_of_truenorth() -> None:
    """So docs/deploy.md does not offer it: a newer SANA-FE may change that."""
    sanafe, yaml = pytest.importorskip("sanafe"), pytest.importorskip("yaml")
    path = Path(sanafe.__file__).parent / "examples" / "truenorth.yaml"
    text = path.read_text(encoding="utf-8")
    prices = re.findall(r"(?:energy|latency)_\w+: (.*)", text)
    assert len(prices) > 10
    assert {float(price) for price in prices} == {0.0}
    core = yaml.safe_load(text)["architecture"]["tile"][0]["core"][0]
    assert [soma["attributes"]["model"] for soma in core["soma"]] == ["truenorth"]


@pytest.mark.long
def test_every_layer_fires_what_was_recorded() -> None:
    pytest.importorskip("sanafe")
    events = np.random.default_rng(2).random((STEPS, 2, 2, 8, 8)) < 0.3
    raster = spikesam.simulate(network(), events, precision="float32")
    result = spikesam.chip(raster, network=network(), mapping={"conv1": [5, 90]})
    assert (result.first, result.compared) == (None, 2 * STEPS * (64 + 64 + 6))
    assert result.layers["spikes"][1:4].min() > 0
    assert result.layers["joules"].sum() == pytest.approx(result.joules, rel=1e-6)
    assert result.mapping.query("layer == 'conv1'")["core"].tolist() == [5, 90]
    assert "a model of" in str(result)
    assert result.cores["busy"].max() <= result.steps["seconds"].mean()
    for axis, table in (("step", result.layer_steps), ("sample", result.layer_samples)):
        whole = result.steps if axis == "step" else result.samples
        sums = table.groupby(axis)["joules"].sum()
        np.testing.assert_allclose(sums, whole["joules"], rtol=1e-6)
    by_layer = result.layer_steps.groupby("layer", sort=False)
    np.testing.assert_allclose(by_layer["joules"].sum(), result.layers["joules"])
    np.testing.assert_allclose(by_layer["spikes"].sum(), result.layers["spikes"])
    of_conv1 = result.layer_samples.query("layer == 'conv1'")["spikes"]
    assert of_conv1.tolist() == [raster["conv1"][sample].sum() for sample in range(2)]


@pytest.mark.long
def test_samples_are_simulated_first_in_as_many_steps_as_are_asked_for() -> None:
    pytest.importorskip("sanafe")
    events = np.random.default_rng(3).random((STEPS, 1, 2, 8, 8)) < 0.3
    by_samples = spikesam.chip(network(), events)
    raster = spikesam.simulate(network(), events, precision="float32")
    for by_raster in (spikesam.chip(raster, network=network()), spikesam.chip(network(), raster)):
        pd.testing.assert_frame_equal(by_samples.layer_steps, by_raster.layer_steps)
        pd.testing.assert_frame_equal(by_samples.samples, by_raster.samples)
    of_shorter = spikesam.chip(network(), events[:5], timesteps=5)
    assert of_shorter.first is None
    assert len(of_shorter.steps) == 5
    first_steps = by_samples.layer_steps.query("step < 5").reset_index(drop=True)
    pd.testing.assert_series_equal(of_shorter.layer_steps["spikes"], first_steps["spikes"])


@pytest.mark.long
def test_an_edited_layer_fires_what_the_edit_says_and_takes_its_own_energy() -> None:
    pytest.importorskip("sanafe")
    events = np.random.default_rng(4).random((STEPS, 1, 2, 8, 8)) < 0.3
    raster = spikesam.simulate(network(), events, precision="float32")
    edited = spikesam.edit(raster, network(), "conv1", channels=[0, 1]).raster
    edited = spikesam.edit(edited, network(), "fc1", channels=[2], steps=[4], fires=True).raster
    before, after = (spikesam.chip(network(), fired) for fired in (raster, edited))
    assert after.first is None
    assert after.bits == 0
    rows = after.layers.set_index("layer")
    for name in ("conv1", "fc1"):
        assert rows.loc[name, "spikes"] == edited[name][0].sum()
        assert rows.loc[f"{name}, as edited", "spikes"] == edited[name][0].sum()
    recorded = before.layers.set_index("layer")
    # Neurons take what they took, less what the silenced spikes took to fire, 69.3 pJ for each.
    fewer = recorded.loc["conv1", "spikes"] - rows.loc["conv1", "spikes"]
    assert fewer > 0
    saved = recorded.loc["conv1", "soma"] - rows.loc["conv1", "soma"]
    assert saved == pytest.approx(fewer * 69.3e-12)
    # Synapses of the same input; beside them, those that drive the edited neurons.
    driven = rows.loc["conv1", "synapse"] - recorded.loc["conv1", "synapse"]
    forced, resets = rows.loc["conv1", "spikes"], fewer
    assert rows.loc["conv1", "synapses"] == recorded.loc["conv1", "synapses"] + 64
    assert driven == pytest.approx((forced - resets) * 33.6e-12)


@pytest.mark.long
def test_the_lines_of_the_page_run() -> None:
    pytest.importorskip("sanafe")
    page = (Path(spikesam.__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    images = np.random.default_rng(5).normal(size=(1, 1, 8, 8)).astype(np.float32)
    taken = replace(network(), encoder="poisson")
    raster = spikesam.simulate(taken, images, precision="float32")
    names = {"spikesam": spikesam, "network": taken, "samples": images, "raster": raster}
    exec(lines, names)  # noqa: S102: they are of this repository
    assert names["edited"].layer == "conv1"


def test_a_layer_that_an_edit_lets_fire_at_once_and_arguments_of_networks_are_refused() -> None:
    pytest.importorskip("sanafe")
    events = np.zeros((STEPS, 1, 2, 8, 8), np.bool_)
    raster = spikesam.simulate(network(), events, precision="float32")
    edited = spikesam.edit(raster, network(), "conv2", steps=[0], fires=True).raster
    with pytest.raises(InputError, match=r"layer 'conv2': the edit lets it fire at step 0"):
        spikesam.chip(edited, network=network())
    for options in ({"data": events}, {"samples": 1}, {"seed": 1}, {"timesteps": 5}):
        with pytest.raises(
            InputError, match=f"^{min(options)}: belongs to a network, got a raster"
        ):
            spikesam.chip(raster, network=network(), **options)
    with pytest.raises(InputError, match=r"^network: belongs to a raster"):
        spikesam.chip(network(), events, network=network())
    with pytest.raises(InputError, match=r"^timesteps: "):
        spikesam.chip(network(), events, timesteps=0)


def test_a_core_is_busy_for_as_long_as_the_slower_of_its_two_parts() -> None:
    free, second = Price(0.0, 0.0), Price(1.0, 1.0)
    chip = ChipDescription(
        *(2, 1, 1, 8),
        access=second,
        update=free,
        fire=Price(0.0, 4.0),
        synapse=dict.fromkeys(("conv", "dense", "sparse"), Price(0.0, 3.0)),
        send=free,
        receive=second,
        hops=dict.fromkeys(("east", "west", "north", "south"), free),
        version="",
    )
    ends = np.zeros(2, np.int64), np.arange(2)
    part = Synapses("a", "b", "dense", *ends, np.ones(2))
    groups = {"a": Group("a", 1, played=True), "b": Group("b", 2)}
    cores = {"a": np.zeros(1, np.int64), "b": np.ones(2, np.int64)}
    ledger = ChipLedger(Circuit(groups, (part,), np.zeros((2, 0), np.bool_)), chip, cores)
    spikes = {"a": np.array([[1], [0]], np.bool_), "b": np.array([[0, 0], [1, 1]], np.bool_)}
    # A message and two synapses: 1 + 2 · 3 s. Two neurons: 2 · 1 s, and at step 1 two spikes.
    assert ledger.sample(spikes).busy[:, 1].tolist() == [7, 2 + 2 * 4]


def test_the_first_difference_is_the_earliest_then_the_least_deep() -> None:
    circuit, shapes = circuit_of(network()), {"conv1": (4, 4, 4), "conv2": (4, 4, 4)}
    recorded = {name: np.zeros((2, STEPS, 64), np.bool_) for name in shapes}
    fired = {name: spikes.copy() for name, spikes in recorded.items()}
    fired["conv1"][1, 3, 0] = fired["conv2"][0, 9, 5] = True
    recorded["conv2"][0, 4, 2 * 16 + 1 * 4 + 3] = True
    simulated = Simulated(fired, np.zeros((2, STEPS)), {})
    first, bits, compared = _first_difference(circuit, simulated, recorded, shapes)
    assert (first, bits) == (Bit("conv2", 0, 4, (2, 1, 3), fired=False), 3)
    assert compared == 2 * 2 * STEPS * 64


def test_a_process_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CODE", "import os; os.kill(os.getpid(), 9)")
    circuit = circuit_of(network())
    cores = {name: np.zeros(group.size, np.int64) for name, group in circuit.groups.items()}
    played = {
        name: np.zeros((1, STEPS, circuit.groups[name].size), np.bool_)
        for name in ("input", "bias")
    }
    with pytest.raises(InputError, match=r"^chip: SANA-FE was ended by SIGKILL .*$"):
        process.simulate_on_chip(circuit, cores, played)


def test_the_mesh_is_drawn_with_the_cores_that_a_tile_has(tmp_path: Path) -> None:
    columns = {"core": [0, 8], "x": [0, 0], "y": [0, 0], "layers": ["conv1", "fc1"]}
    cores = pd.DataFrame({**columns, "busy": [1e-9, 2e-9], "received": [3.0, 4.0]})
    draw_mesh(tmp_path / "chip.png", "A sample takes 1 ns", "On a model.", cores, cores_per_tile=9)
    first, last = core_corners(cores, cores_per_tile=9)
    assert first == (0, 0)
    assert last == pytest.approx((2 / 3, 2 / 3))
    assert (tmp_path / "chip.png").stat().st_size > 1000


def test_a_network_of_other_steps_keeps_its_settled_biases_and_refuses_others() -> None:
    settled = np.array([[0.0], [0.0], [0.5], [0.5]], np.float32)
    layer = Layer("fc1", Dense(np.ones((1, 2), np.float32)), LIF(0.5, bias=settled))
    readout = Readout(np.ones((1, 1), np.float32), bias=settled)
    whole = Network((2, 1, 1), 4, (layer,), readout, "spikes")
    for timesteps, expected in ((3, [0, 0, 0.5]), (6, [0, 0, 0.5, 0.5, 0.5, 0.5])):
        other = network_of_steps(whole, timesteps)
        assert other.timesteps == timesteps
        for bias in (other.layers[0].spiking_neuron.bias, other.readout.bias):
            assert bias is not None and bias.ravel().tolist() == expected
    assert network_of_steps(whole, 4).sha256 == whole.sha256
    with pytest.raises(
        InputError, match=r"^timesteps: got 2, expected at least 3: layer 'fc1' has"
    ):
        network_of_steps(whole, 2)
    restless = replace(
        layer, neuron=LIF(0.5, bias=settled * np.arange(4, dtype=np.float32)[:, None])
    )
    with pytest.raises(InputError, match=r"^timesteps: layer 'fc1' has .* until its last step"):
        network_of_steps(replace(whole, layers=(restless,)), 6)
    of_steps = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    of_bntt = replace(layer, inputs=(replace(layer.inputs[0], gain=of_steps),))
    with pytest.raises(InputError, match=r"^layer 'fc1': has gains that change from step to step"):
        network_of_steps(replace(whole, layers=(of_bntt,)), 6)
