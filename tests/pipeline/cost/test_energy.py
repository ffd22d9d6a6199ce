"""Energy of recordings: worked by hand, laws of random graphs, real runs, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikesam
from spikesam.backends.network import LIF, Attention, Identity, Input, Layer, Network, Readout
from spikesam.common.errors import InputError
from spikesam.pipeline.cost.energy import Energy, in_joules, in_short, unit_of
from spikesam.pipeline.cost.ledger import Ledger, spread_evenly
from spikesam.pipeline.cost.prices import PRICES, Prices, prices_of
from tests.backends.graphs import FLOAT, graphs

ALL = Prices("all", "here", operation=1, mac=10, update=100, firing=1000, byte=0.5)
PICO = 1e-12


def small(encoder: Any = "spikes", **first: Any) -> Network:
    """A convolution of 1×1 on 1×2×2 neurons to 2×2×2, a dense layer of 3, a readout of 2."""
    conv = Layer("conv1", np.ones((2, 1, 1, 1), np.float32), LIF(leak=0.5, **first))
    dense = Layer("fc1", np.ones((3, 8), np.float32), LIF(leak=0.5))
    return Network(
        (1, 2, 2), 2, (conv, dense), Readout(np.float32([[1, 0, 1], [1, 1, 1]])), encoder
    )


def recorded(folder: Path, **layers: Any) -> Path:
    """One sample of two steps of :func:`small`; places of spikes by layer, (t, c, h, w)."""
    shapes = {"input": (1, 2, 2), "conv1": (2, 2, 2), "fc1": (3, 1, 1)}
    spikes = {
        name: np.zeros((1, 2, *shape), bool) for name, shape in shapes.items() if name in layers
    }
    for name, places in layers.items():
        for place in places:
            spikes[name][(0, *place)] = True
    return spikesam.write_raster(folder / "raster.h5", spikes, labels=[4], overwrite=True)


THREE: Any = {
    "input": [(0, 0, 0, 0), (1, 0, 0, 0), (1, 0, 1, 1)],
    "conv1": [(1, 0, 0, 1)],
    "fc1": [(1, 1, 0, 0)],
}


def test_layers_beside_the_networks_are_named_and_left_out(tmp_path: Path) -> None:
    counted = spikesam.energy(recorded(tmp_path, **THREE), small(), prices=ALL)
    with spikesam.open_raster(tmp_path / "raster.h5") as raster:
        spikes = {name: raster[name][:].swapaxes(0, 1) for name in raster}
    spikes["readout_lif"] = np.ones((1, 2, 2, 1, 1), bool)
    beside = spikesam.write_raster(tmp_path / "beside.h5", spikes, labels=[4])
    among_others = spikesam.energy(beside, small(), prices=ALL)
    assert among_others.note.endswith("not of the network, and left out: readout_lif")
    pd.testing.assert_frame_equal(among_others.layers, counted.layers)
    spikes["fc1"] = spikes["fc1"][:, :, :2]
    other = spikesam.write_raster(tmp_path / "other.h5", spikes)
    with pytest.raises(InputError, match=r"layer 'fc1' is \(2, 1, 1\), \(3, 1, 1\) in the network"):
        spikesam.energy(other, small(), prices=ALL)


def test_counted_by_hand(tmp_path: Path) -> None:
    found = spikesam.energy(recorded(tmp_path, **THREE), small(), prices=ALL)
    table = found.layers.set_index("layer")
    assert table["spikes"].tolist()[:3] == [3, 1, 1]
    assert table["operations"].to_dict() == {
        "input": 0,
        "conv1": 6,
        "fc1": 3,
        "readout": 1,
    }  # the middle one has a 0
    assert table["dense"].to_dict() == {"input": 0, "conv1": 16, "fc1": 48, "readout": 12}
    assert table["updates"].to_dict() == {"input": 0, "conv1": 16, "fc1": 6, "readout": 4}
    assert table["ann_macs"].to_dict() == {"input": 0, "conv1": 8, "fc1": 24, "readout": 6}
    # An operation moves a weight and a sum twice, 12 bytes; an update its membrane twice, 8 bytes.
    assert table["bytes"].to_dict() == {"input": 0, "conv1": 200, "fc1": 84, "readout": 44}
    expected = {"conv1": 6 + 1500 + 1000 + 100, "fc1": 3 + 500 + 1000 + 42, "readout": 1 + 400 + 22}
    assert table["joules"].div(PICO)[1:].to_dict() == pytest.approx(expected)
    assert table["ann_joules"].div(PICO)[1:].to_dict() == pytest.approx(
        {"conv1": 112, "fc1": 336, "readout": 84}
    )
    assert found.sparsity == 1 - 2 / 22
    by_step = found.steps.groupby("step")["operations"].sum()
    assert by_step.tolist() == [2, 4 + 3 + 1]
    assert found.classes.values.tolist() == [[4, 1, 5, 10, pytest.approx(found.joules)]]


def test_where_the_energy_goes(tmp_path: Path) -> None:
    """Operations lie where the spike was, updates at the neuron; what dense layers spend has no
    place.
    """
    found = spikesam.energy(recorded(tmp_path, **THREE), small(), prices=replace(ALL, byte=0))
    updates = np.full((2, 2), 2 * 2 * 100)
    spikes = [[2 * 2, 3 + 900], [0, 2]]  # a spike costs 900 more than a step without one
    np.testing.assert_allclose(found.map / PICO, updates + spikes)
    np.testing.assert_array_equal(found.maps, found.map[None])
    elsewhere = (
        5 * 100 + 1000 + 4 * 100 + 1
    )  # updates of fc1 and of the readout, and the spike of fc1
    assert found.joules - found.map.sum() == pytest.approx(PICO * elsewhere)


def test_a_current_that_outlasts_its_step_is_moved_too(tmp_path: Path) -> None:
    raster = recorded(tmp_path, **THREE)
    lasting = spikesam.energy(raster, small(synaptic_leak=0.5)).layers["bytes"]
    assert lasting[1] == 6 * 12 + 16 * 16
    assert lasting[2:].tolist() == [84, 44]


@pytest.mark.parametrize(("encoder", "times"), [("constant-current", 1), ("changing-current", 2)])
def test_a_current_is_multiplied(encoder: str, times: int, tmp_path: Path) -> None:
    """An image that stays a current once, a changing one at every step; 8 products each, 2 at each
    pixel.
    """
    raster = recorded(tmp_path, conv1=THREE["conv1"], fc1=THREE["fc1"])
    found = spikesam.energy(
        raster, small(encoder), prices=Prices("mine", "here", operation=0, mac=10)
    )
    assert found.layers["macs"].tolist() == [8 * times, 0, 0]
    assert found.layers["bytes"][0] == 8 * times * 12 + 16 * 8
    np.testing.assert_allclose(found.map / PICO, np.full((2, 2), 20 * times))
    assert found.joules == pytest.approx(PICO * 80 * times)
    chip = spikesam.energy(raster, small(encoder), prices="loihi")  # where a MAC has no price
    assert (
        chip.note
        == "the input's current is multiplied, which has no price and is not among the joules"
    )
    assert chip.joules == pytest.approx(PICO * (23.6 * (3 + 1) + 52 * (26 - 2) + 81 * 2))


def test_without_the_network_what_can_be_known(tmp_path: Path) -> None:
    found = spikesam.energy(recorded(tmp_path, **THREE))
    assert found.note == "the recording does not say which network fired"
    assert found.layers["updates"].tolist() == [0, 16, 6]
    assert found.sparsity == 1 - 2 / 22
    assert found.map is None
    assert np.isnan([found.operations, found.joules, found.ann_joules]).all()
    assert (
        repr(found) == "<Energy: sparsity 0.9091; the recording does not say which network fired>"
    )
    assert np.isnan(spikesam.energy(recorded(tmp_path, input=THREE["input"])).sparsity)


def test_silence_costs_its_updates_alone(tmp_path: Path) -> None:
    raster = recorded(tmp_path, input=[], conv1=[], fc1=[])
    found = spikesam.energy(raster, small())
    assert (found.operations, found.joules, found.sparsity) == (0, 0, 1)
    assert spikesam.energy(raster, small(), prices="loihi").joules == pytest.approx(PICO * 52 * 26)
    assert repr(found) == "<Energy of a sample: 0 synaptic operations, 0 (45nm), sparsity 1.0000>"


@settings(max_examples=8, deadline=None)
@given(graphs(FLOAT, products=False), st.integers(0, 2**32), st.sampled_from(list(PRICES)))
def test_the_same_sum_in_any_way(
    tmp_path_factory: Any, network: Network, seed: int, prices: str
) -> None:
    """Sources with delays, sums, shortcuts, recurrence and loops."""
    random = np.random.default_rng(seed)
    names = ["input", *(layer.name for layer in network.layers)]
    shapes = {
        name: (3, network.timesteps, *shape)
        for name, shape in zip(names, network.shapes, strict=True)
    }
    spikes = {
        name: random.random(shape) < random.choice((0, 0.2, 1)) for name, shape in shapes.items()
    }
    path = tmp_path_factory.mktemp("graph") / "raster.h5"
    raster = spikesam.write_raster(path, spikes, labels=[1, -1, 1])
    found = spikesam.energy(raster, network, prices=prices, pictured=2)
    for column in ("operations", "joules"):
        total = found.layers[column].sum()
        assert found.steps[column].sum() == pytest.approx(total)
        assert (found.classes[column] * found.classes["samples"]).sum() / 3 == pytest.approx(total)
    assert (found.layers["operations"] <= found.layers["dense"]).all()
    if network.input_shape[1:] == (1, 1):
        assert found.map is None
    else:
        assert len(found.maps) == 2
        assert 0 <= found.map.sum() <= found.joules * (1 + 1e-9)
    with spikesam.open_raster(raster) as opened:
        ledger = Ledger(opened, network, PRICES[prices])
        spent, own = (
            ledger.sample(0).joules,
            [ledger.of_neurons(0, layer).sum() for layer in opened.layers],
        )
    updates = (
        PICO * ledger._update_cost(ledger.readout) * ledger.updates[ledger.readout] * ledger.steps
    )
    assert sum(own) + updates == pytest.approx(sum(map(np.sum, spent.values())))
    every = {name: np.ones_like(each) for name, each in spikes.items()}
    full = spikesam.energy(
        spikesam.write_raster(path, every, overwrite=True), replace_zeros(network), prices=prices
    )
    assert full.layers["operations"].tolist() == full.layers["dense"].tolist()


def replace_zeros(network: Network) -> Network:
    """The same connections, all weights 1."""
    layers = tuple(
        replace(layer, inputs=tuple(given.weighed(np.ones_like) for given in layer.inputs))
        for layer in network.layers
    )
    readout = replace(network.readout, weight=np.ones_like(network.readout.weight))
    return replace(network, layers=layers, readout=readout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundled network, two samples."""
    folder = tmp_path_factory.mktemp("run")
    spikesam.simulate("residual-digits", samples=2, out=folder / "run").close()
    return folder / "run"


def test_a_run_knows_its_network(run: Path) -> None:
    """A residual network, in fixed point: its folder, its file and an open raster say the same."""
    found: list[Energy] = [
        spikesam.energy(run),
        spikesam.energy(run / "raster.h5", "residual-digits"),
    ]
    with spikesam.open_raster(run / "raster.h5") as raster:
        found.append(spikesam.energy(raster, spikesam.load("residual-digits")))
        assert raster[next(iter(raster))][0].any()  # it is still open
    assert len({each.joules for each in found}) == 1
    assert found[0].note == ""
    assert found[0].map is not None and found[0].map.shape == (40, 40)
    assert 0.5 < found[0].sparsity < 1


def test_of_a_raster_in_memory() -> None:
    raster = spikesam.simulate("residual-digits", samples=1)
    assert spikesam.energy(raster).note == "the network is not at hand"
    assert spikesam.energy(raster, "residual-digits").operations > 1e5


def wrong(given: Any, *more: Any, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        spikesam.energy(given, *more, **options)
    (line,) = str(refused.value).splitlines()
    return line


def test_what_is_refused(run: Path, tmp_path: Path) -> None:
    raster = run / "raster.h5"
    assert "but" in wrong(run, "cluttered-digits") and "was recorded from" in wrong(
        run, "cluttered-digits"
    )
    assert "got an ANN, which does not spike" in wrong(run, "cluttered-digits-ann")
    assert "neither a bundled one" in wrong(run, "no-such-network")
    none = "has no raster.h5, expected the folder of a run that keeps spikes, or a raster file"
    assert wrong(tmp_path) == f"{tmp_path}: {none}"
    assert "none.h5" in wrong(tmp_path / "none.h5")
    assert wrong(3) == "raster: got int, expected a raster, its file, or the folder of a run"
    assert (
        wrong(raster, 3)
        == "network: got int, expected a Network, a checkpoint, its name or its file"
    )
    for prices in ("nm", None, 0.9):
        said = f"prices: got {prices!r}, expected one of 45nm, 45nm-memory, lemaire, loihi"
        assert wrong(raster, prices=prices) == said
    assert wrong(raster, pictured=-1) == "pictured: got -1, expected a number of samples ≥ 0"


def test_layers_that_are_missing_or_others(tmp_path: Path) -> None:
    half = recorded(tmp_path, conv1=THREE["conv1"], fc1=THREE["fc1"])
    assert (
        "holds layers conv1, fc1, expected all of the network: input, conv1, fc1; operat"
        in wrong(half, small())
    )
    readout = Readout(np.ones((2, 16), np.float32))
    other = replace(small(), input_shape=(1, 4, 2), layers=small().layers[:1], readout=readout)
    assert "layer 'input' is (1, 2, 2), (1, 4, 2) in the network" in wrong(
        recorded(tmp_path, **THREE), other
    )


def test_what_does_not_belong_into_the_folder_of_a_run(run: Path, tmp_path: Path) -> None:
    (tmp_path / "raster.h5").symlink_to(run / "raster.h5")
    assert "raster.h5: is a link that leads out of" in wrong(tmp_path)
    (tmp_path / "raster.h5").unlink()
    (tmp_path / "raster.h5").write_bytes((run / "raster.h5").read_bytes())
    assert spikesam.energy(tmp_path).note == "the network is not at hand"
    spikesam.save(spikesam.load("cluttered-digits"), tmp_path / "network.safetensors")
    assert "was recorded from" in wrong(tmp_path)
    (tmp_path / "network.safetensors").write_bytes(b"no network")
    assert "network.safetensors" in wrong(tmp_path)


def test_a_shortcut_without_weights_adds_once(tmp_path: Path) -> None:
    layer = Layer(
        "conv1", (np.ones((1, 1, 1, 1), np.float32), Input(Identity(), "input")), LIF(leak=0.5)
    )
    network = Network((1, 2, 2), 2, (layer,), Readout(np.ones((1, 4), np.float32)), "spikes")
    spikes = {"input": np.ones((1, 2, 1, 2, 2)), "conv1": np.zeros((1, 2, 1, 2, 2))}
    found = spikesam.energy(spikesam.write_raster(tmp_path / "c.h5", spikes), network)
    assert found.layers["operations"].tolist() == [0, 8 + 8, 0]
    assert found.layers["ann_macs"].tolist() == [0, 4, 4]
    assert found.layers["bytes"][1] == 8 * 12 + 8 * 8 + 8 * 8  # the shortcut reads no weight


def test_a_layer_called_readout_keeps_its_name(tmp_path: Path) -> None:
    layer = Layer("readout", np.ones((2, 1, 1, 1), np.float32), LIF(leak=0.5))
    network = Network((1, 2, 2), 2, (layer,), Readout(np.ones((3, 8), np.float32)), "spikes")
    spikes = {"input": np.ones((1, 2, 1, 2, 2)), "readout": np.zeros((1, 2, 2, 2, 2))}
    found = spikesam.energy(spikesam.write_raster(tmp_path / "c.h5", spikes), network)
    assert found.layers["layer"].tolist() == ["input", "readout", "readout_"]
    assert found.layers["operations"].tolist() == [0, 16, 0]
    assert found.layers["updates"].tolist() == [0, 16, 6]


def test_cells_are_spread_over_pixels_by_hand() -> None:
    assert spread_evenly(np.array([[4, 8]]), (2, 4)).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    # Two cells on three pixels: each gives two thirds to its own and a third to the one between.
    np.testing.assert_allclose(spread_evenly(np.array([[3, 6]]), (1, 3)), [[2, 1 + 2, 4]])
    np.testing.assert_allclose(
        spread_evenly(np.arange(8).reshape(2, 4), (1, 2)), [[0 + 1 + 4 + 5, 2 + 3 + 6 + 7]]
    )


sides = st.integers(1, 9)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 99))
def test_nothing_is_lost(shape: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    amounts = np.random.default_rng(seed).integers(0, 9, shape)
    found = spread_evenly(amounts, size)
    assert found.shape == size
    assert found.min() >= 0
    assert found.sum() == pytest.approx(amounts.sum())
    if size == shape:
        np.testing.assert_allclose(found, amounts, atol=1e-12)


def test_published_numbers_and_their_sources() -> None:
    assert (PRICES["45nm"].operation, PRICES["45nm"].mac) == (0.9, 4.6)
    assert (PRICES["loihi"].operation, PRICES["loihi"].update, PRICES["loihi"].firing) == (
        23.6,
        52,
        81,
    )
    assert PRICES["loihi"].mac is None
    assert PRICES["45nm-memory"].byte == 10 / 8
    lemaire = PRICES["lemaire"]
    assert (lemaire.operation, lemaire.mac, lemaire.update, lemaire.byte) == (
        0.1,
        3.1 + 0.1,
        3.1 + 0.1,
        10 / 4,
    )
    assert all("doi:" in prices.source for prices in PRICES.values())


@pytest.mark.parametrize(
    "wrong", [{"operation": -1}, {"mac": float("nan")}, {"byte": "1"}, {"update": True}]
)
def test_ones_own_prices_are_numbers(wrong: dict[str, Any]) -> None:
    own = Prices("mine", "measured", operation=2, mac=None)
    assert prices_of(own) is own
    assert Prices("mine", "measured", operation=np.float32(2)) == own  # type: ignore[arg-type]
    (name,) = wrong
    with pytest.raises(InputError, match=f"{name} is .*, expected (a number|pJ, at least 0)"):
        Prices("mine", "nowhere", **{"operation": 1.0, **wrong})


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        (in_joules, 0, "0"),
        (in_joules, 3e-13, "0.30 pJ"),
        (in_joules, 4.19e-9, "4.19 nJ"),
        (in_joules, 59.24e-6, "59.2 µJ"),
        (in_joules, 481e-6, "481 µJ"),
        (in_joules, 1.2, "1.20 J"),
        (in_joules, float("nan"), "–"),
        (in_short, 0, "0"),
        (in_short, 7, "7"),
        (in_short, 7.25, "7.25"),
        (in_short, 2048, "2.05 k"),
        (in_short, 1e6, "1.00 M"),
        (in_short, 65.2e6, "65.2 M"),
        (unit_of, 59e-6, (pytest.approx(1e-6), "µJ")),
        (unit_of, 0, (1, "J")),
        (unit_of, 1e-20, (pytest.approx(1e-12), "pJ")),
    ],
)
def test_joules_counts_and_units(
    words: Callable[[float], Any], value: float, expected: Any
) -> None:
    assert words(value) == expected


def test_attention_is_counted_where_its_tokens_are(tmp_path: Path) -> None:
    """At step 0 both neurons fire at token 0, as q, k and v: two meetings of q and k, then two
    spikes of v.
    """
    layer = Layer(
        "out", Input(Attention(heads=1), ("input", "input", "input")), LIF(0.0, 3.5, reset="zero")
    )
    network = Network((2, 1, 2), 3, (layer,), Readout(np.ones((1, 4), np.float32)), "spikes")
    spikes = np.zeros((3, 1, 2, 1, 2), np.bool_)
    spikes[0, 0, :, 0, 0] = True
    raster = spikesam.simulate(network, spikes, out=tmp_path / "run", precision="float32")
    found = spikesam.energy(raster, network)
    assert found.layers.set_index("layer")["operations"].to_dict() == {
        "input": 0,
        "out": 4,
        "readout": 0,
    }
    rated = 2 * 2 * 2 * 2 / 2  # a rate of 1/2, of 2 · 2 channels · 2 · 2 tokens
    assert found.layers["rated"].tolist() == [0, rated, 0]
    assert found.rated_joules == pytest.approx(PICO * 0.9 * 8)
    assert found.note.endswith(
        "attention counts the order that needs fewer additions in a step: q · kᵀ first, or kᵀ · v"
    )
