"""Files of snnTorch, SpikingJelly and sinabs fire here as there, and ours fire there as here, to
the bit.

snnTorch's exporter needs a leak and a threshold per neuron, and `ignore_dims=[0]`; as documented,
it raises.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import spikesam
from spikesam.backends.network import LIF, Conv, Input, Layer, Network, Readout
from spikesam.pipeline.imports.nir.read import from_nir
from spikesam.pipeline.imports.nir.write import to_nir
from tests.layers import with_first
from tests.pipeline.imports.nir.graphs import nir, run

pytest.importorskip("nirtorch")

T = 100
SPIKES = np.random.default_rng(0).random((T, 2, 12, 12)) < 0.3


def ours(leak: float = 0.9, gain: float = 1, **options: Any) -> Network:
    """Convolution, average pooling and dense layers, as they say it without delay: T + 3 steps,
    biases that wait.
    """
    rng = np.random.default_rng(3)
    neurons = {"threshold": 0.75, "reset": "zero", **options}

    def bias(channels: int, number: int) -> Any:
        rows = np.tile(rng.normal(0.05, 0.05, channels).astype(np.float32), (T + 3, 1))
        rows[:number] = 0
        return rows if number else rows[0]

    layers = (
        Layer(
            "conv1",
            Input(Conv(rng.normal(0.05, 0.3, (8, 2, 3, 3)), padding=1)),
            LIF(leak, bias=bias(8, 0), **neurons),
        ),
        Layer(
            "conv2",
            Input(Conv(rng.normal(0, 0.3, (6, 8, 3, 3)), pool=2, stride=2)),
            LIF(0.5, bias=bias(6, 1), **neurons),
        ),
        Layer("fc1", rng.normal(0, 1, (5, 24)), LIF(leak, bias=bias(5, 2), **neurons)),
    )
    layers = tuple(with_first(layer, gain=gain) for layer in layers)
    return Network((2, 12, 12), T + 3, layers, Readout(np.eye(5)), "spikes")


def assert_same(network: Network, wanted: list[NDArray[Any]]) -> None:
    """Every bit of every layer, and the number of spikes of the last."""
    fired, readout = run(network, SPIKES)
    rasters = list(fired.values())[1:]
    for raster, expected in zip(rasters, wanted, strict=True):
        assert 0.01 < raster.mean() < 0.99
        assert np.array_equal(raster.reshape(expected.shape), expected > 0)
    assert readout.tolist() == wanted[-1].sum(axis=0).tolist()


def stepped(model: nn.Module, explicit: bool) -> list[NDArray[Any]]:
    """Spikes (T, …) of the neurons of a module that is called at every step, with or without a
    state.
    """
    outputs: dict[nn.Module, list[NDArray[Any]]] = {}

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        spikes = output[0] if isinstance(output, tuple) else output
        outputs.setdefault(module, []).append(spikes[0].numpy())

    for module in model.children():
        if type(module).__name__ in (
            "LIFNode",
            "IFNode",
            "CUBALIFNode",
            "Leaky",
            "Synaptic",
            "_NIRStatefulModule",
        ):
            module.register_forward_hook(keep)
    state = None
    with torch.no_grad():
        for spikes in torch.tensor(SPIKES[:, None], dtype=torch.float32):
            if explicit:
                _, state = model(spikes, state)
            else:
                model(spikes)
    return [np.array(each) for each in outputs.values()]


LIBRARIES = {
    "spikingjelly": "spikingjelly.activation_based.nir_exchange",
    "snntorch": "snntorch.import_nir",
}


@pytest.mark.parametrize(
    ("library", "options"),
    [
        ("spikingjelly", {}),
        ("spikingjelly", {"leak": 1.0}),
        ("spikingjelly", {"gain": 1.25}),
        ("spikingjelly", {"synaptic_leak": 0.75}),
        ("snntorch", {}),
        ("snntorch", {"synaptic_leak": 0.75}),
    ],
)
def test_others_read_ours(library: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Neurons that do not leak, gains, which are in the weights, and synaptic currents."""
    module, network = pytest.importorskip(LIBRARIES[library]), ours(**options)
    graph = to_nir(network)
    if not options:
        to_nir(network, tmp_path / "ours.nir")
        graph = (
            tmp_path / "ours.nir" if library == "spikingjelly" else nir.read(tmp_path / "ours.nir")
        )
    assert_same(network, stepped(module.import_from_nir(graph), explicit=True))


def test_files_of_spikingjelly(tmp_path: Path) -> None:
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import layer, neuron

    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1),
        neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=0.2),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(144, 32),
        neuron.LIFNode(tau=4.0, decay_input=False, v_threshold=0.5),
        layer.Linear(32, 5),
        neuron.IFNode(v_threshold=0.5),
    )
    example = torch.zeros(1, 2, 12, 12)
    exchange.export_to_nir(model, example, save_path=tmp_path / "theirs.nir")
    network = from_nir(tmp_path / "theirs.nir", T, fires_at_threshold=True)
    assert_same(network, stepped(model, explicit=False))
    assert (
        from_nir(exchange.export_to_nir(model, example), T, fires_at_threshold=True).sha256
        == network.sha256
    )


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_files_of_snntorch(reset: Any, tmp_path: Path) -> None:
    """Whose reset NIR does not say: snnTorch subtracts, unless told otherwise."""
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir

    def leaky(beta: float, *shape: int) -> nn.Module:
        constants = {"beta": torch.full(shape, beta), "threshold": torch.full(shape, 0.25)}
        return snn.Leaky(**constants, init_hidden=True, reset_mechanism=reset)

    torch.manual_seed(0)
    synapses = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(144, 5)
    between = nn.AvgPool2d(2), nn.Flatten()
    model = nn.Sequential(synapses[0], leaky(0.75, 4, 12, 12), *between, synapses[1], leaky(0.9, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = export_to_nir(model, torch.zeros(1, 2, 12, 12), ignore_dims=[0])
    nir.write(tmp_path / "theirs.nir", graph)
    for module in model.modules():
        if isinstance(module, snn.Leaky):
            module.reset_mem()
    wanted = stepped(model, explicit=False)
    assert_same(from_nir(tmp_path / "theirs.nir", T, reset=reset), wanted)
    assert_same(from_nir(graph, T, reset=reset), wanted)


pytest.importorskip("nir")

COUNTS = {
    (3, "zero"): [0, 0, 2, 0, 65, 0, 0, 0, 0, 0],
    (3, "subtract"): [0, 1, 5, 0, 84, 2, 0, 0, 0, 0],
    (1, "zero"): [1, 0, 0, 0, 147, 2, 0, 0, 0, 0],
    (1, "subtract"): [1, 0, 0, 0, 263, 15, 0, 0, 0, 0],
}


def recorded(shared: Path, milliseconds: int) -> NDArray[np.bool_]:
    """(T, 1, 2, 34, 34), the whole recording."""
    events = spikesam.read_events(shared / "data/events/nmnist.bin")
    window = 1000 * milliseconds
    binning = spikesam.EventBinning(34, 34, bins=int(events.t[-1]) // window + 1, window_us=window)
    return binning.binned(events).bits[:, None]


@pytest.mark.parametrize("backend", ["event", "torch"])
@pytest.mark.parametrize(("milliseconds", "reset"), COUNTS)
def test_its_output_spikes_are_those_that_are_known(
    shared: Path, milliseconds: int, reset: str, backend: str
) -> None:
    spikes = recorded(shared, milliseconds)
    path, options = (
        shared / "data/nir/cnn_sinabs.nir",
        {"dt": 1, "reset": reset, "fires_at_threshold": True},
    )
    network = spikesam.from_nir(path, len(spikes), **options)  # type: ignore[arg-type]
    raster = spikesam.simulate(network, spikes, backend=backend, precision="float32", device="cpu")
    assert raster["fc2"][0].sum(axis=(0, 2, 3)).tolist() == COUNTS[milliseconds, reset]
    fixed = spikesam.simulate(network, spikes, backend=backend, device="cpu")
    assert fixed.predictions.tolist() == raster.predictions.tolist() == [4]
