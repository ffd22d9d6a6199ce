"""Edits equal a network whose layer fires what it is told, worked by hand and by the plain
equations.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import spikesam
from spikesam.backends.network import LIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.common.errors import InputError
from spikesam.pipeline.maps.relevance import relevance
from spikesam.recordings.raster.reader import RasterReader
from tests.backends.graphs import FLOAT, constant_current, graphs
from tests.reference import simulate_reference


def memory_of_one_bit() -> Network:
    """`hold` fires from when `seen` tells it to until the input, four steps late, subtracts; `both`
    needs two.
    """
    one = np.ones((1, 1), np.float32)
    late = (Source("seen", 2), Source("input", 4, sign=-1))
    layers = (
        Layer("seen", one, LIF(0.0, 0.5, reset="zero")),
        Layer("hold", (Input(one, late), Input(one, "hold")), LIF(1.0, 0.5, reset_by=1.0)),
        Layer("both", Input(one, ("hold", Source("seen", 2))), LIF(0.0, 1.5, reset="zero")),
    )
    return quantise(Network((1, 1, 1), 9, layers, Readout(one), "spikes"))


def recorded(network: Network, inputs: NDArray[Any]) -> RasterReader:
    return spikesam.simulate(network, inputs, backend="event", precision=network.precision)


def fired(raster: RasterReader) -> dict[str, list[int]]:
    return {name: raster[name][0].ravel().astype(int).tolist() for name in raster}


@pytest.fixture(scope="module")
def digits() -> RasterReader:
    return spikesam.simulate("cluttered-digits", samples=3, backend="event")


@pytest.fixture(scope="module")
def held() -> RasterReader:
    spikes = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0], np.bool_).reshape(9, 1, 1, 1, 1)
    return recorded(memory_of_one_bit(), spikes)


def test_a_layer_that_reads_itself_fires_what_it_is_told(held: RasterReader) -> None:
    """hold fires at 3, 4, 5, 7, both at 4 and 5, where seen[t-2] and hold[t-1] are 1: without
    hold[4], at 4 alone.
    """
    assert fired(held)["hold"] == [0, 0, 0, 1, 1, 1, 0, 1, 0]
    edited = spikesam.edit(held, memory_of_one_bit(), "hold", steps=[4])
    assert fired(edited.raster) == fired(held) | {
        "hold": [0, 0, 0, 1, 0, 1, 0, 1, 0],
        "both": [0, 0, 0, 0, 1, 0, 0, 0, 0],
    }
    assert edited.before.readout.tolist() == [[2 * 127]]
    assert edited.after.readout.tolist() == edited.raster.readout.tolist() == [[127]]
    assert str(edited).splitlines() == [
        "hold: 1 spike changed; 1 of 1 answers changed",
        "sample 0: 2 -> 1",
        "",
        "layer  before  after  differ",
        "input       4      4       0",
        " seen       4      4       0",
        " hold       4      3       1",
        " both       2      1       1",
    ]
    assert repr(edited) == "<Edit of hold: 1 of 1 answers changed>"


def test_all_that_reads_the_input_is_simulated_again(held: RasterReader) -> None:
    """Without its spike at 2:

    t                       0   1   2   3   4   5   6   7   8
    input                   1   1   0   0   1   0   0   0   0
    seen[t]                 0   1   1   0   0   1   0   0   0
    seen[t-2] - input[t-4]              1   0  -1   0   1  -1
    hold[t-1]                               1   1   0   0   1
    v_hold                              1   1   0   0   1   0      1 is subtracted after a spike
    hold[t-1] + seen[t-2]               1   2   1   0   1   1
    """
    edited = spikesam.edit(held, memory_of_one_bit(), "input", steps=2)
    assert fired(edited.raster) == {
        "input": [1, 1, 0, 0, 1, 0, 0, 0, 0],
        "seen": [0, 1, 1, 0, 0, 1, 0, 0, 0],
        "hold": [0, 0, 0, 1, 1, 0, 0, 1, 0],
        "both": [0, 0, 0, 0, 1, 0, 0, 0, 0],
    }


def test_spikes_are_added(held: RasterReader) -> None:
    """both[7] = hold[6] + seen[5] = 2 with a spike of hold at 6; nothing else has two."""
    edited = spikesam.edit(held, memory_of_one_bit(), "hold", steps=[6], fires=True)
    assert fired(edited.raster)["both"] == [0, 0, 0, 0, 1, 1, 0, 1, 0]


@given(
    network=graphs() | graphs(FLOAT),
    data=st.data(),
)
@settings(max_examples=24)
def test_any_graph_or_chain_in_both_precisions(network: Network, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = (network.timesteps, *network.input_shape)
    inputs = np.stack([rng.random(shape) < density for density in (0.2, 0.6)], axis=1)
    raster = recorded(network, inputs)
    name, fires = data.draw(st.sampled_from(network.raster_names)), data.draw(st.booleans())
    spikes = raster[name][:]
    mask = rng.random(spikes.shape) < data.draw(st.sampled_from((0.05, 0.5, 1.0)))
    forced = np.where(mask, fires, spikes)
    edited = spikesam.edit(raster, network, name, mask, fires=fires)
    inputs = forced if name == "input" else inputs
    expected, readout = simulate_reference(
        network, inputs, {} if name == "input" else {name: forced}
    )
    for layer, wanted in zip(network.raster_names, expected, strict=True):
        assert np.array_equal(edited.raster[layer][:], wanted), layer
    assert np.array_equal(edited.after.readout, readout.astype(edited.after.readout.dtype))
    nothing = spikesam.edit(raster, network, name, np.zeros((1, 1, 1), np.bool_))
    assert nothing.raster.raster_digest == raster.raster_digest
    assert np.array_equal(nothing.after.readout, raster.readout)


@given(network=graphs(encoder="constant-current"), data=st.data())
@settings(max_examples=6)
def test_any_graph_that_a_current_drives(network: Network, data: st.DataObject) -> None:
    """It is edited where no layer that the current drives would be simulated again."""
    images = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(
        -127, 128, (2, *network.input_shape)
    )
    raster = recorded(
        network, 2 * images.astype(np.float32)
    )  # the range is 254, so 2 stands for 1 in int8
    name = data.draw(st.sampled_from(network.raster_names))
    if {network.layers[place].name for place, _ in network.driven} & {*network.dependents(name)} - {
        name
    }:
        with pytest.raises(InputError, match=f"edit: '{name}' leads to 'layer"):
            spikesam.edit(raster, network, name)
        return
    edited = spikesam.edit(raster, network, name, steps=slice(1, None))
    forced = raster[name][:]
    forced[1:] = False
    expected, readout = simulate_reference(network, images.astype(np.int8), {name: forced})
    for layer, wanted in zip(network.raster_names, expected, strict=True):
        assert np.array_equal(edited.raster[layer][:], wanted), layer
    assert np.array_equal(edited.after.readout, readout)


def test_currents_drive_a_layer_that_is_not_simulated_again() -> None:
    """conv1 is driven by a current and reads conv3, so an edit of conv3 leads back to it; one of
    conv1 does not.
    """
    network = constant_current()
    image = np.random.default_rng(0).normal(size=(2, *network.input_shape)).astype(np.float32)
    raster = recorded(network, image)
    assert (
        spikesam.edit(raster, network, "conv1", steps=[]).raster.raster_digest
        == raster.raster_digest
    )
    with pytest.raises(
        InputError, match="'conv3' leads to 'conv1', which currents of the input drive"
    ):
        spikesam.edit(raster, network, "conv3")


@pytest.mark.parametrize(
    "name", ["residual-digits", "saccade-digits", "contrast-digits", "spikformer-digits"]
)
def test_bundled_networks(name: str) -> None:
    """Layers before the edited one stay; behind a silent last layer the readout has its bias alone,
    in all samples.
    """
    raster = spikesam.simulate(name, samples=2, backend="event")
    last = raster.layers[-1].name
    edited = spikesam.edit(raster, name, last, all=True)
    bias = quantise(spikesam.load(name).network).readout.bias
    assert np.array_equal(
        edited.after.readout,
        2 * [np.broadcast_to(bias, (raster.timesteps, len(bias[0]))).sum(axis=0)],
    )
    first = raster.layers[int("input" in raster)].name  # a constant current is not recorded
    channels = [0, 1, 2]
    edited = spikesam.edit(raster, spikesam.load(name), first, channels=channels, samples=[1])
    differ = edited.layers.set_index("layer")["differ"]
    assert (
        differ.get("input", 0) == 0
        and differ[first] == raster[first][1][:, channels].sum()
        and differ[last] > 0
    )
    again = spikesam.edit(raster, name, first, steps=[]).raster
    assert again.raster_digest == raster.raster_digest
    assert again.header.layers == raster.header.layers


def test_a_mask_in_all_its_shapes(digits: RasterReader) -> None:
    rng = np.random.default_rng(1)
    channels, height, width = digits["conv1"].shape
    full = np.zeros((digits.timesteps, 3, channels, height, width), np.bool_)
    places = rng.random((height, width)) < 0.3
    neurons = rng.random((channels, 1, 1)) < 0.3
    over_time = rng.random((digits.timesteps, 1, 1, 1)) < 0.3
    of_samples = rng.random((1, 3, 1, 1, 1)) < 0.5
    for mask in (places, neurons, over_time[:, None], of_samples):
        given = mask[:, 0] if mask.ndim == 5 and mask.shape[1] == 1 else mask
        edited = spikesam.edit(digits, "cluttered-digits", "conv1", given)
        assert np.array_equal(edited.raster["conv1"][:], digits["conv1"][:] & ~(full | mask))
    edited = spikesam.edit(
        digits,
        "cluttered-digits",
        "conv1",
        places,
        channels=[2, -1],
        steps=slice(3, 6),
        samples=[2],
    )
    rows, columns = [5, slice(9, None, 2)], slice(30)
    rectangle = spikesam.edit(
        digits, "cluttered-digits", "conv1", rows=rows, columns=columns, samples=[0]
    )
    chosen = np.zeros((height, width), np.bool_)
    chosen[[5, *range(9, height, 2)], :30] = True
    assert np.array_equal(rectangle.raster["conv1"][0], digits["conv1"][0] & ~chosen)
    full[3:6, :, [2, -1]] = places
    assert np.array_equal(edited.raster["conv1"][:], (digits["conv1"][:] & ~full)[:, 2:])
    assert edited.raster.samples.index.tolist() == [digits.samples.index[2]] and edited.samples == [
        2
    ]
    dense = rng.random(digits["fc1"].shape[0]) < 0.5
    silenced = spikesam.edit(digits, "cluttered-digits", "fc1", dense).raster["fc1"][:]
    assert not silenced[:, :, dense].any() and silenced.any()


def test_the_answer_rests_on_what_relevance_marks() -> None:
    """The share of the answer falls below a half without a quarter of a layer's places: those that
    speak for it.
    """
    network = quantise(spikesam.load("contrast-digits").network)
    raster = spikesam.simulate("contrast-digits", samples=1, backend="event")
    answer, middle = int(raster.predictions[0]), network.raster_names[2]
    heat = relevance(network, [raster[name][0] for name in raster], answer)[2].sum(axis=(0, 1))
    least, most = heat <= np.quantile(heat, 0.25), heat >= np.quantile(heat, 0.75)
    shares = [
        spikesam.edit(raster, network, middle, mask).after.shares[0, answer]
        for mask in (least, most)
    ]
    assert shares[0] > 0.5 > shares[1]


def test_it_is_written_and_edited_again_in_order(digits: RasterReader, tmp_path: Path) -> None:
    edited = spikesam.edit(digits, "cluttered-digits", "conv2", channels=[0])
    path = edited.write(tmp_path / "edited.h5")
    with pytest.raises(
        InputError,
        match=r"edited.h5: already exists; choose another name, or replace it with overwrite=True",
    ):
        edited.write(path)
    edited.write(path, overwrite=True)
    with spikesam.open_raster(path) as raster:
        raster.verify()
        assert raster.raster_digest == edited.raster.raster_digest != digits.raster_digest
        assert json.loads(raster.header.config)["edited"] == ["conv2"]
        assert np.array_equal(raster.readout, edited.after.readout)
    both = spikesam.edit(path, "cluttered-digits", "conv3", channels=[1]).raster
    assert json.loads(both.header.config)["edited"] == ["conv2", "conv3"]
    assert not both["conv2"][:][:, :, 0].any() and not both["conv3"][:][:, :, 1].any()
    with pytest.raises(
        InputError,
        match="'conv2' was edited before, and would be simulated again; edit 'conv1' first",
    ):
        spikesam.edit(path, "cluttered-digits", "conv1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "conv9"}, "no layer 'conv9'; did you mean conv"),
        ({"layer": None}, "^edit: no layer is given, expected its name or number"),
        (
            {"mask": np.zeros((3, 3), bool)},
            r"edit: layer 'conv1': got a mask of \(3, 3\), expected .*24, 40, 40",
        ),
        ({"mask": np.zeros(40, bool)}, r"got a mask of \(40,\), expected"),
        ({"mask": np.zeros((), bool)}, r"got a mask of \(\), expected"),
        (
            {"mask": np.zeros((16, 3, 24, 40, 40, 1), bool)},
            r"got a mask of \(16, 3, 24, 40, 40, 1\), expected",
        ),
        ({"mask": np.zeros((40, 40), np.uint8)}, "got a mask of uint8, expected bool"),
        ({"mask": [[1.0, None]]}, "edit: mask is of type list, expected an array of True"),
        (
            {"mask": [[True], [True, False]]},
            "edit: mask is of type list, expected an array of True",
        ),
        ({"channels": [24]}, "edit: layer 'conv1': no channel 24, expected 0 to 23"),
        ({"channels": [1.5]}, "channels has the member 1.5, expected whole numbers or a slice"),
        ({"channels": [True]}, "channels has the member True, expected whole numbers"),
        ({"channels": "all"}, "channels is 'all', expected whole numbers"),
        *(
            (
                {"channels": each},
                r"^edit: layer 'conv1': no channel in (a:|0:4:0), expected some of 0 to 23$",
            )
            for each in (slice("a", None), slice(0, 4, 0))
        ),
        ({"steps": range(10, 20)}, "edit: layer 'conv1': no step 16, expected 0 to 15"),
        ({"steps": slice(16, 20)}, "edit: layer 'conv1': no step in 16:20"),
        ({"samples": 3}, r"edit: samples is 3, expected positions in a list, as \[2\], or a slice"),
        ({"samples": [3]}, "edit: no sample 3, expected 0 to 2"),
        ({"samples": []}, "edit: got no samples, expected at least one of 0 to 2"),
        (
            {"network": "contrast-digits"},
            "network [0-9a-f]{12}, but raster in memory was recorded from [0-9a-f]{12}; give the "
            "network.safetensors",
        ),
        ({"network": "cluttered-digits-ann"}, "ann.safetensors: got an ANN, which does not spike"),
        (
            {"network": 5},
            "network: got int, expected a Network, a checkpoint, its name or its file",
        ),
        ({"network": "nothing"}, "checkpoint 'nothing': neither a bundled one"),
        (
            {"raster": np.zeros(3)},
            "raster: got ndarray, expected a raster, its file, or the folder of a run",
        ),
    ],
)
def test_bad_input_is_one_line(change: dict[str, Any], message: str, digits: RasterReader) -> None:
    given = {
        "raster": digits,
        "network": "cluttered-digits",
        "layer": "conv1",
        "mask": None,
    } | change
    with pytest.raises(InputError, match=message) as error:
        spikesam.edit(
            given.pop("raster"),
            given.pop("network"),
            given.pop("layer"),
            given.pop("mask"),
            **given,
        )
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("layers", [("conv1", "fc1"), ("conv1",)])
def test_a_raster_of_no_network_is_refused(
    layers: tuple[str, ...], digits: RasterReader, tmp_path: Path
) -> None:
    path = spikesam.write_raster(
        tmp_path / "r.h5", {name: digits[name][:].swapaxes(0, 1) for name in layers}
    )
    with pytest.raises(InputError, match="r.h5: has 16 steps, expected 11, as the network takes"):
        spikesam.edit(path, "cluttered-digits", "conv1")


def test_a_raster_of_some_layers_is_refused(tmp_path: Path) -> None:
    from spikesam.pipeline import run

    about = [
        "--checkpoint",
        "contrast-digits",
        "--samples",
        "1",
        "--backend",
        "event",
        "--figures",
        "0",
    ]
    run.main([*about, "--layers", "conv1", "--out", str(tmp_path / "run")])
    with pytest.raises(
        InputError, match=r"holds layers conv1, fc1, expected all of the network: input,"
    ):
        spikesam.edit(tmp_path / "run" / "raster.h5", "contrast-digits", "conv1")


def test_a_network_that_is_read_again_is_laid_out_once(digits: RasterReader) -> None:
    from spikesam.pipeline.edits.edit import _simulator

    for _ in range(3):
        spikesam.edit(digits, "cluttered-digits", "fc1", channels=[0])
    kept = _simulator()._prepared
    assert digits.header.network_sha256 in kept and len(kept) <= 4
