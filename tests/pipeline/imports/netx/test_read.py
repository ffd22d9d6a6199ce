"""Networks in Loihi's own integers: what they fire by hand, by the equations, by recordings; and
what is refused.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import spikesam
from spikesam.pipeline.imports.netx.read import from_netx
from tests.pipeline.imports.netx.pilotnet import NAMES, pilotnet, pixels, recorded
from tests.pipeline.small_net import conv, dense, small_net, write_net


def fired(network: spikesam.Network, spikes: NDArray[np.bool_], layer: str) -> NDArray[np.bool_]:
    """(T, C, H, W) of one sample."""
    return spikesam.simulate(network, spikes[:, None], backend="event")[layer][0]


def test_a_neuron_by_hand(tmp_path: Path) -> None:
    """64 · (10 + 2) = 768 at every step: 768, 576 + 768 = 1344, 1008 + 768 = 1776 > 1600, then from
    rest again.
    """
    path = write_net(tmp_path / "a.net", [dense([[10]], bias=np.float32([2]))])
    network = from_netx(path, 7)
    assert (network.timesteps, network.precision, network.encoder) == (8, "fixed", "spikes")
    always = np.ones((7, 1, 1, 1), bool)
    assert fired(network, always, "fc1").ravel().nonzero()[0].tolist() == [3, 6]
    first = fired(network, always & (np.arange(7) == 0)[:, None, None, None], "fc1")
    assert not first.any()  # 768, 576 + 128, 528 + 128 …


def test_a_threshold_that_is_met_by_hand(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense([[25]])], 4)
    spikes = np.ones((4, 1, 1, 1), bool)
    spikes[1:] = False
    assert fired(from_netx(path), spikes, "fc1").ravel().tolist() == [False] * 5
    assert fired(from_netx(path, fires_at_threshold=True), spikes, "fc1").ravel().nonzero()[
        0
    ].tolist() == [1]


def test_weights_of_nine_bits_are_halved_and_the_gain_doubled(tmp_path: Path) -> None:
    network = from_netx(write_net(tmp_path / "a.net", [dense([[254, -4], [6, 8]])], 4))
    layer = network.layers[0]
    assert (layer.inputs[0].weight.tolist(), layer.inputs[0].gain.tolist()) == (
        [[127, -2], [3, 4]],
        [[128, 128]],
    )
    assert (layer.neuron.threshold, layer.neuron.decay, layer.inputs[0].shift) == (1600, 1024, 0)


def test_weights_that_8_bits_do_not_hold_are_those_of_two_inputs(tmp_path: Path) -> None:
    layer = dense([[-256, 254], [2, 4]], {"vThMant": 200, "iDecay": 2048})
    network = from_netx(write_net(tmp_path / "a.net", [layer], 12))
    found = [[each.weight.tolist(), each.gain.max()] for each in network.layers[0].inputs]
    assert found == [[[[-127, 127], [1, 2]], 128], [[[-1, 0], [0, 0]], 128]]
    spikes = np.random.default_rng(0).random((12, 1, 2, 1, 1)) < [[[0.3]], [[0.7]]]
    found = spikesam.simulate(network, spikes, backend="event")["fc1"][0][:, 0, 0, 0]
    u = v = 0
    for t in range(1, 13):
        u = int(u / 2) + 64 * int([-256, 254] @ spikes[t - 1, 0, :, 0, 0])
        v = int(v * 3 / 4) + u
        assert found[t] == (v > 12800)
        v = 0 if found[t] else v
    assert 0 < found.mean() < 1


def test_an_output_that_does_not_fire_by_hand(tmp_path: Path) -> None:
    """The neuron fires at steps 3 and 6, and its output adds 4 · 2 each time, in units of 2, and a
    bias of 6 a step.
    """
    never = {"vThMant": 131071, "vDecay": 0}
    layers = [dense([[10]], bias=np.float32([2])), dense([[254]], never, bias=np.float32([6]))]
    network = from_netx(write_net(tmp_path / "a.net", layers, 7))
    raster = spikesam.simulate(network, np.ones((7, 1, 1, 1, 1), bool), backend="event")
    assert raster.readout.tolist() == [[2 * 127 + 7 * 3]]
    assert network.readout.scale == 2


def test_a_mean_of_groups(tmp_path: Path) -> None:
    layers = [dense(np.eye(6) * 100), {"type": "average", "shape": [2, 1, 1]}]
    network = from_netx(write_net(tmp_path / "a.net", layers, 5))
    spikes = np.zeros((5, 1, 6, 1, 1), bool)
    spikes[:3, 0, 1] = spikes[:4, 0, 4] = spikes[:1, 0, 5] = True
    raster = spikesam.simulate(network, spikes, backend="event")
    assert raster.readout.tolist() == [[3, 5]]
    assert network.readout.scale == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(8))
def test_any_network_fires_what_the_equations_say(seed: int, tmp_path: Path) -> None:
    """Groups, dilation, unequal strides and paddings, sum pooling; currents that last, with bias or
    without.
    """
    random = np.random.default_rng(seed)
    stride, padding, dilation = (random.integers(low, 3, 2).tolist() for low in (1, 0, 1))
    groups, outlasts = int(random.choice((1, 2))), bool(seed % 2)
    weight = random.integers(-5, 9, (4, 4 // groups, 3, 2))
    ways: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    maps = torch.nn.functional.conv2d(
        torch.zeros(1, 4, 9, 10), torch.as_tensor(weight).float(), **ways, groups=groups
    )
    shape = maps.shape[1:]
    neuron = {
        "vDecay": int(random.integers(0, 4097)),
        "vThMant": 9,
        "iDecay": 2000 if outlasts else 4096,
    }
    bias = None if outlasts else random.integers(-3, 5, 4).astype(np.float32)
    window: dict[str, Any] = {
        "stride": [1, 2],
        "padding": [0, 1],
        "dilation": [1, 1],
        "groups": None,
    }
    window["neuron"] = {**neuron, "type": "CUBA"}
    sums = np.full((1, 1, 2, 2), 6)
    pooled = torch.nn.functional.avg_pool2d(torch.zeros(1, *shape), 2, (1, 2), (0, 1)).shape[1:]
    layers = [
        {"type": "input", "shape": [4, 9, 10]},
        conv(weight, shape, {**neuron, "type": "LOIHI"}, groups=groups, bias=bias, **ways),
        {**conv(sums, pooled), "type": "pool", **window, "inChannels": None, "outChannels": None},
        dense(random.integers(-9, 9, (5, int(np.prod(pooled))))),
    ]
    network = from_netx(write_net(tmp_path / "a.net", layers, 9))
    spikes = random.random((9, 4, 9, 10)) < 0.4
    synapses = [
        lambda s: torch.nn.functional.conv2d(
            s, torch.as_tensor(weight).double(), None, **ways, groups=groups
        ),
        lambda s: torch.nn.functional.conv2d(
            s, torch.full((4, 1, 2, 2), 6.0).double(), None, (1, 2), (0, 1), groups=4
        ),
    ]
    before = np.concatenate([spikes, np.zeros((3, *spikes.shape[1:]), bool)])
    for number, (name, synapse) in enumerate(zip(("conv1", "pool1"), synapses, strict=True)):
        u = v = np.zeros(network.shapes[number + 1], np.int64)
        expected = np.zeros((12, *v.shape), bool)
        for t in range(1 + number, 12):
            a = 64 * synapse(torch.as_tensor(before[t - 1])[None].double())[0].long().numpy()
            u = rounded(u * (4096 - neuron["iDecay"])) + a
            v = rounded(v * (4096 - neuron["vDecay"])) + u
            if bias is not None and not number:
                v += 64 * bias.astype(int)[:, None, None]
            expected[t] = v > 64 * 9
            v = np.where(expected[t], 0, v)
        found = fired(network, spikes, name)
        assert np.array_equal(found, expected)
        assert 0 < expected.mean() < 1
        before = found


def rounded(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sign(numbers) * (np.abs(numbers) >> 12)


def test_an_image_drives_the_input_layer(tmp_path: Path) -> None:
    """40 drives a neuron by 64 · 40 = 2560 > 1600 at every step, 20 by 1280: 1280, 960 + 1280, so
    at every second.
    """
    network = from_netx(small_net(tmp_path / "a.net"))
    assert [layer.name for layer in network.layers] == ["image", "conv1", "fc1"]
    assert (network.timesteps, network.classes, network.encoder) == (11, 2, "constant-current")
    image = np.full((1, 2, 4, 6), 20.0)
    image[0, 1] = 40
    raster = spikesam.simulate(network, image * 2 / 127, backend="event")
    assert raster["image"][0][:, 0, 0, 0].nonzero()[0].tolist() == [2, 4, 6, 8, 10]
    assert raster["image"][0][:, 1, 0, 0].nonzero()[0].tolist() == list(range(1, 11))
    assert raster["fc1"][0].any()


def test_delays_of_axons_by_hand(tmp_path: Path) -> None:
    """All inputs fire at once, every spike makes fire. Those of fc1 arrive 0 and 3 steps late,
    those of fc2 2 late.

    In the time of the input fc1 fires at 0, fc2 at 0 and 3, and the answer has that at 2 and 5.
    Layers stand 1, 2 and again 1 step later here.
    """
    layers = [
        dense(np.eye(2) * 100, delay=np.float32([0, 3])),
        dense([[100, 100]], delay=np.float32([2])),
    ]
    network = from_netx(write_net(tmp_path / "a.net", layers, 9))
    assert [layer.inputs[0].sources[0].delay for layer in network.layers] == [1, (1, 4), 1]
    spikes = np.zeros((9, 2, 1, 1), bool)
    spikes[0] = True
    found = {layer.name: fired(network, spikes, layer.name) for layer in network.layers}
    assert [found[name].any(axis=(1, 2, 3)).nonzero()[0].tolist() for name in found] == [
        [1],
        [2, 5],
        [3, 6],
    ]
    raster = spikesam.simulate(network, spikes[:, None], backend="event")
    assert raster.readout.tolist() == [[2]]
    before = [dense([[100, 100, 100]], delay=np.float32([0, 2, 5]))]
    network = from_netx(write_net(tmp_path / "b.net", before, 9))
    assert [layer.inputs[0].sources[0].delay for layer in network.layers] == [(1, 3, 6)]
    spikes = np.ones((9, 3, 1, 1), bool) & (np.arange(9) == 0)[:, None, None, None]
    assert fired(network, spikes, "fc1").ravel().nonzero()[0].tolist() == [1, 3, 6]


def test_delays_of_axons_are_those_of_lava_dl(tmp_path: Path) -> None:
    pytest.importorskip("lava.lib.dl.slayer")
    from lava.lib.dl.slayer.block import cuba

    torch.manual_seed(0)
    neuron = {"threshold": 1.0, "current_decay": 0.3, "voltage_decay": 0.1}
    sides, steps = (6, 5, 4, 3), ([0, 3, 1, 0, 6], [2, 4, 3, 0], [0, 2, 1])
    blocks = [cuba.Dense(neuron, *ends, delay=True) for ends in pairwise(sides)]
    values = given = (torch.rand(2, 6, 40) < 0.3).float()
    expected = []
    with h5py.File(tmp_path / "a.net", "w") as file:
        for number, (block, delays) in enumerate(zip(blocks, steps, strict=True)):
            block.synapse.weight.data = torch.rand_like(block.synapse.weight) * 2 - 0.8
            block.delay.delay.data, block.delay.init = torch.tensor(delays).float(), True
            expected.append(block.neuron(block.synapse(values)) > 0)
            values = block(values)
            block.export_hdf5(file.create_group(f"layer/{number}"))
    network = from_netx(tmp_path / "a.net", 40)
    raster = spikesam.simulate(
        network, given.bool().permute(2, 0, 1)[..., None, None].numpy(), backend="event"
    )
    for layer, bits in zip(network.layers, expected, strict=False):
        assert 0.05 < bits.float().mean() < 0.95
        for sample in (0, 1):  # a layer of lava-dl integrates what it gets at the same step
            assert np.array_equal(raster[layer.name][sample][1:41, :, 0, 0], bits[sample].T.numpy())


IN_3X3 = {"type": "input", "shape": [1, 3, 3]}
IN_1 = {"type": "input", "shape": [1]}
NEVER = {"vThMant": 131071, "vDecay": 0}
REFUSED: dict[str, list[dict[str, Any]]] = {
    "/layer/0/neuron/type: neurons of type 'SDNN', expected CUBA, LOI": [
        dense([[1]], {"type": "SDNN"})
    ],
    "/layer/0/type: layer of type 'dense_rec', expected input, ": [
        {**dense([[1]]), "type": "dense_rec"}
    ],
    r"layer 0 \(dense\): gradedSpike is True, expected 0": [dense([[1]], {"gradedSpike": True})],
    "messageBits is 16, expected 0 of these neurons": [dense([[1]], {"messageBits": 16})],
    "refDelay is 3, expected 1": [dense([[1]], {"refDelay": 3})],
    r"1 \(conv\): has delays of its axons, expected them in": [
        IN_3X3,
        conv(np.ones((1, 1, 2, 2)), [1, 2, 2], delay=[4]),
    ],
    "delays are 63 … 63, expected 0 … 62 steps": [dense([[1]], delay=np.float32([63]))],
    "delays are -1 … -1, expected 0 … 62 steps": [dense([[1]], delay=np.float32([-1]))],
    "delay holds other numbers than integers": [dense([[1]], delay=np.float32([0.5]))],
    "reads 'fc1' 10 steps later, expected less than T = 6": [dense([[1], [1]], delay=[0, 9])],
    r"delay has shape \(1, 2\), expected \(1,\), one for each neuron, or \(2,\), for each that it "
    r"reads": [dense([[1, 2]], delay=np.ones((1, 2)))],
    r"its delay has shape \(3,\), expected one number, or one for each channel": [
        {"type": "input", "shape": [1, 1, 3]},
        dense([[1, 2, 3]], delay=[1, 2, 3]),
    ],
    "has a bias and delays of its axons": [dense([[1]], bias=np.float32([1]), delay=[4])],
    r"1 \(dense\): has delays of axons that nothing fires": [
        dense([[1]]),
        dense([[1], [2]], NEVER, delay=[1, 2]),
    ],
    "weight holds other numbers than integers": [dense([[0.5]])],
    "weights are up to 999 in steps of 1, expected at most 381 steps": [dense([[999, 2]])],
    r"1 \(dense\): weights take more than 8 bits, expected at most": [
        dense([[1], [1]]),
        dense([[255, 2]], NEVER),
    ],
    "its neurons have no vDecay": [dense([[1]], {"vDecay": None})],
    r"layer 'fc1': decay is 5000, expected 0 … 4,096": [dense([[1]], {"vDecay": 5000})],
    "threshold is 16777216, expected 1 … 8,388,607": [
        dense([[1]], {"vThMant": 1 << 18}),
        dense([[1]]),
    ],
    "a bias and a current that outlasts": [dense([[1]], {"iDecay": 9}, bias=np.float32([1]))],
    r"1 \(dense\): vDecay is 1024, expected 0 of these": [
        dense([[1]]),
        dense([[1]], {"vThMant": 131071}),
    ],
    "expected neurons that spike, got none": [dense([[1]], NEVER)],
    ": expected neurons that spike, got none": [IN_1],
    r"layer 0 \(conv\): stands first, expected a layer input": [
        conv(np.ones((1, 1, 1, 1)), [1, 2, 2])
    ],
    r"layer 1 \(input\): stands inside the network, expected an input first": [dense([[1]]), IN_1],
    r"layer 1 \(input\): stands inside": [dense([[1]]), IN_1, dense([[1]])],
    r"1 \(conv\): shape is \(1, 3, 3\), expected \(1, 2, 2\)": [
        IN_3X3,
        conv(np.ones((1, 1, 2, 2)), [1, 3, 3]),
    ],
    r"weight has shape \(1, 1, 2, 2\) in 1 groups, expected one for \(2, 3, 3\), the map before": [
        {"type": "input", "shape": [2, 3, 3]},
        conv(np.ones((1, 1, 2, 2)), [1, 2, 2]),
    ],
    "a kernel of .* does not fit its": [
        IN_3X3,
        conv(np.ones((1, 1, 2, 2)), [1, 2, 2], dilation=[10**6, 10**6]),
    ],
    "/layer/0/weight: a group, as of compl": [
        {**dense([[1]]), "weight": {"real": 1.0, "imag": 1.0}}
    ],
    "/layer/0/other: an unknown path, expected some of bias, delay": [dense([[1]], other=1)],
    "/layer/0/weight: no value, or one that is not finite": [dense([[np.nan]])],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_read_is_one_line(message: str, tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", REFUSED[message])
    with pytest.raises(spikesam.InputError, match=message) as caught:
        from_netx(path, 4)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_file_that_does_not_say_how_many_steps(tmp_path: Path) -> None:
    with pytest.raises(
        spikesam.NetworkError, match="got no timesteps, which this file does not say"
    ):
        from_netx(write_net(tmp_path / "a.net", [dense([[1]])]))


HOSTILE: dict[
    str, Any
] = {  # what stands there instead of weights, a value or what a function makes
    "a soft link, expected a hard link": h5py.SoftLink("/layer/0/bias"),
    "external storage, expected data in this file": lambda layer, name: layer.create_dataset(
        name, (1, 1), "f4", external=[("elsewhere", 0, 4)]
    ),
    "arrays of more than 1,073,741,824 bytes": lambda layer, name: layer.create_dataset(
        name, (1 << 15, 1 << 15), "f4", chunks=(64, 64)
    ),
    ".*, expected numbers": "weights",
    "unreadable": h5py.Empty("f4"),
}


@pytest.mark.parametrize("message", HOSTILE)
def test_a_hostile_file_is_one_line(message: str, tmp_path: Path) -> None:
    path, instead = write_net(tmp_path / "a.net", [dense([[1]])]), HOSTILE[message]
    with h5py.File(path, "a") as file:
        layer = file["layer/0"]
        del layer["weight"]
        if callable(instead):
            instead(layer, "weight")
        else:
            layer["weight"] = instead
    with pytest.raises(spikesam.InputError, match=f"/layer/0/weight: {message}") as caught:
        from_netx(path, 4)
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    write_net(tmp_path / "c.net", [dense([[1]])])
    with h5py.File(tmp_path / "a.net", "w") as file, h5py.File(tmp_path / "c.net", "a") as numbered:
        file["node"] = 1
        numbered.move("layer/0", "layer/1")
    for path, message in (
        (tmp_path / "a.net", "/node: an unknown path, expected some of layer, simulation"),
        (tmp_path / "b.net", "no such file"),
        (tmp_path / "c.net", "/layer: 1, expected groups 0, 1, 2"),
        (Path(__file__), "is not HDF5, expected"),
    ):
        with pytest.raises(spikesam.InputError, match=message):
            from_netx(path, 4)


@pytest.fixture
def folder(shared: Path) -> Path:
    found = shared / "data/networks"
    if not found.is_dir():
        pytest.skip(f"needs {found}, which is not here")
    return found


@pytest.mark.parametrize("backend", ["event", "torch"])
def test_pilotnet_steers_from_an_image(folder: Path, backend: str) -> None:
    """The states of its files were zeroed layer by layer, as the image's wave arrives: the
    network's are the same.
    """
    network = pilotnet(folder)
    image = pixels(np.load(folder / "pilotnet_lif/image.npy"))
    raster = spikesam.simulate(network, image, backend=backend, device="cpu")
    assert (network.timesteps, len(network.layers)) == (16 + 9, 9)
    for number, (name, layer) in enumerate(zip(NAMES, network.layers, strict=True)):
        expected = recorded(folder, name)[number:][:16]
        assert np.array_equal(raster[layer.name][0][number + 1 :][:16], expected), name
    weights = network.readout.weight[0].astype(int)
    assert (
        raster.readout.tolist()
        == [[int((recorded(folder, "fc-2")[8:, :, 0, 0] @ weights).sum())]]
        == [[30]]
    )
    if (
        backend == "event"
    ):  # 30 / (16 · 32) = 0.059 radians, as lava-dl's example reads the membrane
        maps = spikesam.explain(raster)
        for name, shape in (("image", (66, 200)), ("conv1", (32, 99)), ("conv5", (2, 20))):
            heat = maps[name].sum
            assert heat.shape == (1, *shape)
            assert heat.max() > 0


def test_tinynet_fires_what_was_recorded_of_it(folder: Path) -> None:
    network = spikesam.from_netx(folder / "tinynet/tiny.net", 16)
    raster = spikesam.simulate(
        network, pixels(np.load(folder / "tinynet/input_bias.npy")), backend="event"
    )
    for steps, (name, layer) in enumerate(
        (("input", "image"), ("layer1", "conv1"), ("output", "conv2"))
    ):
        expected = np.load(folder / f"tinynet/{name}.npy")[0].transpose(3, 0, 1, 2) > 0
        assert np.array_equal(raster[layer][0][steps : steps + 16], expected), name
        assert expected.any()


@pytest.mark.parametrize("backend", ["event", "torch"])
def test_oxford_fires_what_lava_dl_fired(folder: Path, backend: str) -> None:
    """A release in which v = threshold fired; rows are (neuron, 0, step), of the input rounded to
    whole steps.
    """

    def bits(name: str) -> NDArray[np.bool_]:
        neuron, _, step = np.rint(np.load(folder / f"oxford/{name}.npy")).astype(int).T
        found = np.zeros((2000, 200), np.bool_)
        found[step, neuron] = True
        return found

    network = spikesam.from_netx(folder / "oxford/network.net", 2000, fires_at_threshold=True)
    arrived = bits("input")[:, None, :, None, None]
    raster = spikesam.simulate(network, arrived, backend=backend, device="cpu")
    assert np.array_equal(raster["fc2"][0][:2000, :, 0, 0], bits("ground_truth"))
