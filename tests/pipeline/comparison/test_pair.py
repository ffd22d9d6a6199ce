"""Two rasters beside each other: which bits differ, and how many, counted by hand and by NumPy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import (
    LIF,
    Conv,
    FixedLIF,
    Identity,
    Input,
    Layer,
    Network,
    Readout,
    Source,
)
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.pipeline.comparison._membranes import Currents, DrivenLayer, Membranes, rules_of
from spikesam.pipeline.comparison.pair import Bit, Differences, line_up
from spikesam.pipeline.comparison.why import differing_numbers
from tests.backends.graphs import FIXED, FLOAT, graphs, some_inputs
from tests.reference import simulate_reference


def raster(path: Path, **options: Any) -> spikesam.RasterReader:
    spikes = {
        name: options.pop(name) for name in [*options] if isinstance(options[name], np.ndarray)
    }
    return spikesam.open_raster(spikesam.write_raster(path, spikes, overwrite=True, **options))


def zeros(steps: int = 4, samples: int = 2) -> Any:
    return np.zeros((samples, steps, 1, 2, 2), np.bool_)


def test_bits_by_hand(tmp_path: Path) -> None:
    """A has a spike at step 1 that B lacks, in sample 1; B has two in conv2 at step 1, one in conv1
    at step 3.
    """
    a, b = [{"conv1": zeros(), "conv2": zeros()} for _ in range(2)]
    a["conv1"][1, 1, 0, 1, 0] = b["conv2"][0, 1, 0, 0, 1] = b["conv2"][0, 1, 0, 1, 1] = b["conv1"][
        0, 3, 0, 0, 0
    ] = True
    a["conv1"][0, 0] = b["conv1"][0, 0] = True
    found = Differences(line_up(raster(tmp_path / "a.h5", **a), raster(tmp_path / "b.h5", **b)))
    assert found.only.tolist() == [[[0, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [0, 2, 0, 0]]]
    assert found.spikes.tolist() == [[5, 0], [5, 2]]
    first, third = Bit("conv1", 1, 1, (0, 1, 0), True), Bit("conv1", 0, 3, (0, 0, 0), False)
    second = Bit("conv2", 0, 1, (0, 0, 1), False)
    assert [*found.firsts()] == [first, second, third]  # of one step, the layer nearer to the input
    assert [*found.firsts("conv2")] == [*found.firsts(2)] == [second]
    assert [*found.firsts(sample=0)] == [second, third]
    with pytest.raises(InputError, match="layer: no layer 'conv3'; did you mean conv"):
        next(found.firsts("conv3"))
    table = found.table()
    assert table[table["only_second"] > 0].to_numpy().tolist() == [
        ["conv1", 3, 0, 1],
        ["conv2", 1, 0, 2],
    ]


TWO = st.tuples(st.just(2), st.integers(1, 3), st.integers(1, 5), *[st.integers(1, 3)] * 3)


@given(bits=arrays.arrays(np.bool_, TWO))
@settings(max_examples=25)
def test_counts_are_numpys_and_exchanged_with_the_rasters(
    bits: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rasters")
    rasters = [raster(folder / f"{number}.h5", conv1=each) for number, each in enumerate(bits)]
    there, back = Differences(line_up(*rasters)), Differences(line_up(*rasters[::-1]))
    expected = [
        np.sum(one & ~other, axis=(0, 2, 3, 4)).tolist() for one, other in (bits, bits[::-1])
    ]
    assert there.only[:, 0].tolist() == expected == back.only[::-1, 0].tolist()
    firsts = [*there.firsts()]
    pairs = enumerate(zip(*bits, strict=True))
    assert {bit.sample for bit in firsts} == {sample for sample, (a, b) in pairs if (a != b).any()}
    for bit in firsts:
        assert not (bits[0] != bits[1])[bit.sample, : bit.step].any()
        place = (bit.sample, bit.step, *bit.neuron)
        assert bits[0][place] == bit.fired != bits[1][place]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_raster_without_delays_is_beside_one_with_them(tmp_path: Path, swapped: bool) -> None:
    """Layer l of the second stands l steps later; its other steps are nobody's business."""
    rng = np.random.default_rng(0)
    quick = {name: rng.random((2, 5, 1, 2, 2)) < 0.5 for name in ("input", "conv1", "conv2")}
    slow = {name: np.ones((2, 7, 1, 2, 2), np.bool_) for name in quick}
    for late, (name, spikes) in enumerate(quick.items()):
        slow[name][:, late : late + 5] = spikes
    slow["conv2"][1, 2 + 3, 0, 1, 1] ^= True
    rasters = [
        raster(tmp_path / "quick.h5", **quick),
        raster(tmp_path / "slow.h5", layer_delay=1, **slow),
    ]
    pair = line_up(*(rasters[::-1] if swapped else rasters))
    assert (pair.steps, pair.shifts[not swapped]) == (5, {"input": 0, "conv1": 1, "conv2": 2})
    (bit,) = Differences(pair).firsts()
    assert (bit.layer, bit.sample, bit.step, bit.neuron) == ("conv2", 1, 3, (0, 1, 1))
    slow.pop("input")
    without = raster(tmp_path / "without.h5", layer_delay=1, **slow)
    assert line_up(rasters[0], without).shifts[1] == {"conv1": 1, "conv2": 2}


def test_rasters_that_cannot_be_compared(tmp_path: Path) -> None:
    a = raster(tmp_path / "a.h5", conv1=zeros())
    for message, options in (
        (r"b\.h5: holds 3 samples, expected 2, as .*a\.h5 does", {"conv1": zeros(samples=3)}),
        (
            r"b\.h5: sample 1 is number 9 of its data, in .*a\.h5 it is number 1",
            {"conv1": zeros(), "index": [0, 9]},
        ),
        (r"b\.h5: has 5 steps, expected 4, as .*a\.h5 has", {"conv1": zeros(5)}),
        (
            r"b\.h5: holds layers conv9, expected some of those of .*a\.h5: conv1",
            {"conv9": zeros()},
        ),
        (r"b\.h5: layer 'conv1' is 1×2×1, expected 1×2×2, as in", {"conv1": zeros()[..., :1]}),
        (
            r"b\.h5: passes spikes on a step later in each layer and has 4 steps, .*a\.h5 in the "
            r"same step and has 4; "
            "expected so many more as the last layer is deep.*layer_delay",
            {"conv1": zeros(), "layer_delay": 1},
        ),
    ):
        with pytest.raises(InputError, match=message) as raised:
            line_up(a, raster(tmp_path / "b.h5", **options))
        assert "\n" not in str(raised.value)
    assert (
        line_up(a, raster(tmp_path / "b.h5", conv1=zeros(), index=[0, 9]), same_index=False).steps
        == 4
    )


def test_rasters_in_memory_are_named_by_side() -> None:
    layer = Layer("fc1", np.ones((1, 1), np.float32), LIF(0.0, 0.5))
    a, b = (
        spikesam.simulate(
            Network((1, 1, 1), steps, (layer,), Readout(np.ones((1, 1))), "spikes"),
            np.ones((steps, 1, 1, 1, 1)),
        )
        for steps in (3, 4)
    )
    said = (
        r"raster in memory \(second\): has 4 steps, expected 3, as raster in memory \(first\) has"
    )
    with pytest.raises(InputError, match=said):
        line_up(a, b)


def steps_of(
    layer: DrivenLayer, currents: Currents, fired: NDArray[np.bool_], neuron: LIF | None = None
) -> Any:
    """v[t] and s[t], (T, C, H, W), of neurons that have fired as they are said to have."""
    membranes, rows = Membranes(layer, neuron), []
    for t in range(len(fired)):
        if t:
            membranes.step(t, currents(t), fired[t - 1])
        rows.append((membranes.v, membranes.fires))
    values, fires = map(np.array, zip(*rows, strict=True))
    return values, fires


CURRENTS = ("constant-current", "changing-current")
DRIVEN = [graphs(numbers, encoder) for numbers in (FIXED, FLOAT) for encoder in CURRENTS]


@given(network=st.one_of(graphs(), graphs(FLOAT), *DRIVEN), seed=st.integers(0, 99))
@settings(max_examples=56)
def test_a_layer_alone_fires_what_its_network_makes_it_fire(network: Network, seed: int) -> None:
    """In both precisions, and nothing drives a neuron but what it reads."""
    inputs = some_inputs(network)
    rng, rasters = np.random.default_rng(seed), simulate_reference(network, inputs)[0]
    for number, layer in enumerate(network.layers):
        fired = {
            name: raster[:, number % 2]
            for name, raster in zip(network.raster_names, rasters, strict=True)
        }
        fired |= {"input": inputs[..., number % 2, :, :, :]} if network.current_input else {}
        channel, row, column = (int(rng.integers(side)) for side in network.shapes[number + 1])
        recorded, own = DrivenLayer(network, layer.name), fired[layer.name]
        currents = recorded.currents(fired.__getitem__)
        assert np.array_equal(steps_of(recorded, currents, own)[1], own), layer.name
        changed = {name: bits if bits.dtype == np.int8 else ~bits for name, bits in fired.items()}
        for source, mask in recorded.reads((channel, row, column)):
            changed[source.layer] = np.where(mask, fired[source.layer], changed[source.layer])
        others = recorded.currents(changed.__getitem__)
        for t in range(network.timesteps):
            for before, after in zip(currents(t), others(t), strict=True):
                assert before[channel, row, column] == after[channel, row, column]


def test_a_membrane_by_hand() -> None:
    """A corner of 2×2 with padding sees one pooled pixel; a shortcut adds the spikes of two steps
    before.

    t                                0     1     2     3
    spikes in rows 0 and 1           1 1   1 0   0 0   0 0       of the pooled pixel
    a = 2 · mean of four                   1     0.5   0
    shortcut = 0.5 · s[t-2]                            0.5       of its own, at 1 and 3
    """
    weight = np.zeros((1, 1, 2, 2), np.float32)
    weight[0, 0, 1, 1] = 2
    own = (Input(Identity(), Source("conv1", delay=2), 0.5),)
    layer = Layer(
        "conv1", (Input(Conv(weight, pool=2, padding=1)), *own), LIF(0.5, 0.75, reset="zero")
    )
    network = Network(
        (1, 4, 4), 4, (layer,), Readout(np.ones((1, 9), np.float32)), encoder="spikes"
    )
    spikes = {"input": np.zeros((4, 1, 4, 4), np.bool_), "conv1": np.zeros((4, 1, 3, 3), np.bool_)}
    spikes["input"][[0, 0, 1], 0, 0, [0, 1, 0]] = True
    spikes["conv1"][[1, 3], 0, 0, 0] = True
    recorded = DrivenLayer(network, "conv1")
    currents = recorded.currents(spikes.__getitem__)
    corner = [[float(each[0, 0, 0]) for each in currents(t)] for t in range(4)]
    assert corner == [[0, 0], [1, 0], [0.5, 0], [0, 1]]
    membranes, fires = steps_of(recorded, currents, spikes["conv1"])
    assert membranes[:, 0, 0, 0].tolist() == [0, 1, 0.5, 0.75]  # 0.5, and then 0.25 + 0.5
    assert fires[:, 0, 0, 0].tolist() == [False, True, False, False]
    equals = replace(recorded.neuron, fires_at_threshold=True)
    assert steps_of(recorded, currents, spikes["conv1"], equals)[1][:, 0, 0, 0].tolist() == [
        False,
        True,
        False,
        True,
    ]
    masks = {source.layer: mask for source, mask in recorded.reads((0, 0, 0))}
    assert np.argwhere(masks["input"]).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    assert np.argwhere(masks["conv1"]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("constant", [True, False])
def test_a_current_drives_it(constant: bool) -> None:
    """127 stands for 2, which is 1 to the weights: 3 · 127/127 at each step, or at the step of the
    number alone.
    """
    encoder: Any = "constant-current" if constant else "changing-current"
    layer = Layer("fc1", np.array([[3.0, 0.0]], np.float32), LIF(1.0, 100.0))
    network = Network((2, 1, 1), 4, (layer,), Readout(np.ones((1, 1), np.float32)), encoder=encoder)
    numbers = np.zeros((2, 1, 1) if constant else (4, 2, 1, 1), np.int8)
    numbers[(0,) if constant else (1, 0)] = 127
    recorded = DrivenLayer(network, "fc1")
    currents = recorded.currents({"input": numbers}.__getitem__)
    assert [currents(t)[0].item() for t in range(4)] == ([0, 3, 3, 3] if constant else [0, 0, 3, 0])
    membranes, _ = steps_of(recorded, currents, np.zeros((4, 1, 1, 1), np.bool_))
    assert membranes.ravel().tolist() == ([0, 3, 6, 9] if constant else [0, 0, 3, 3])
    assert not [*recorded.reads((0, 0, 0))]


ABOVE, AT = "firing above the threshold alone", "firing at the threshold, too"
ZERO, SUBTRACT = "a reset to zero", "a reset by subtraction"
FRONT, BEHIND = (
    "a reset by subtraction in front of the leak",
    "a reset by subtraction behind the leak",
)


@pytest.mark.parametrize(
    ("neuron", "names"),
    [
        (LIF(0.5, 1.0), [AT, ZERO, FRONT]),
        (LIF(0.5, 1.0, reset_by=0.5), [AT, ZERO, BEHIND]),
        (LIF(1.0, 1.0), [AT, ZERO]),  # without a leak, in front of it and behind it are the same
        (LIF(0.5, 1.0, reset="zero", fires_at_threshold=True), [ABOVE, SUBTRACT, FRONT]),
        (FixedLIF(1024, reset="zero", threshold=1600), [AT, SUBTRACT, FRONT]),
    ],
)
def test_rules(neuron: LIF | FixedLIF, names: list[str]) -> None:
    assert [*rules_of(neuron)] == names
    assert (
        rules_of(FixedLIF(1024, threshold=1600))[FRONT].neuron.subtracted == 1200
    )  # 3/4 of it is left


WEIGHT = np.array([[0.5, 0.25, 0.1], [0.75, 0.3, 1.0]], np.float32)


def network(
    weight: Any = WEIGHT, source: Any = ("input",), sign: int = 1, gain: Any = 1, **constants: Any
) -> Network:
    neuron = LIF(**{"leak": 0.9, "bias": [0.1, 0.2]} | constants)
    layer = Layer(
        "fc1", (Input(weight, source, gain), Input(Identity(), Source("fc1", 2, sign), 0.5)), neuron
    )
    return Network((3, 1, 1), 4, (layer,), Readout(np.ones((1, 2), np.float32)), "spikes")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"leak": 0.8}, "leak 0.9 in A, 0.8 in B"),
        ({"threshold": [1.0, 1.5]}, "1 of 2 threshold, by 0.5 at most"),
        (
            {"bias": [0.1, 0.5], "synaptic_leak": 0.25},
            "synaptic leak 0 in A, 0.25 in B; 1 of 2 biases, by 0.3 at most",
        ),
        ({"reset": "zero"}, "reset subtract in A, zero in B"),
        ({"reset_by": 0.9}, "subtraction at a spike 1 in A, 0.9 in B"),
        ({"fires_at_threshold": True}, "firing at the threshold no in A, yes in B"),
        ({"min_v_mem": -1}, "lowest membrane -inf in A, -1 in B"),
        ({"gain": 2}, "2 of 2 gain of input 1, by 1 at most"),
        ({"weight": WEIGHT * [1, 2, 1]}, "2 of 6 weights of input 1, by 0.3 at most"),
        ({"source": Source("input", 2)}, "delay from input 1 in A, 2 in B"),
        ({"sign": -1}, "sign of fc1 1 in A, -1 in B"),
    ],
)
def test_what_differs(changed: dict[str, Any], said: str) -> None:
    assert differing_numbers(network(), network(**changed), "fc1") == f" in fc1: {said}"


def test_a_network_that_is_rounded_differs_by_that_alone() -> None:
    """Unless both do where both are rounded."""
    rounded = ": one is in fixed point, whose numbers are rounded"
    assert differing_numbers(network(), quantise(network()), "fc1") == rounded
    assert (
        differing_numbers(quantise(network(leak=0.5)), network(), "fc1")
        == " in fc1: leak 0.5 in A, 0.8999023 in B"
    )
    tiny = network(threshold=1e-9)  # which nothing rounds
    assert differing_numbers(tiny, quantise(network()), "fc1") == rounded
