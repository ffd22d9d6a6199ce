"""How the torch backend cuts its work into pieces, and packs; what all backends share is in test_contract.py."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from spikesam.backends.available import make_backend
from spikesam.backends.base import BackendError
from spikesam.backends.network import LIF, Encoder, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.recordings.raster.batch import unpack
from tests.layers import with_first
from tests.reference import simulate_reference

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def small_network(timesteps: int, encoder: Encoder = "poisson") -> Network:
    """Pooling, stride, a gain for every step, a map of odd sides and a dense layer."""
    random = np.random.default_rng(2)
    gains = random.uniform(0.5, 2, (timesteps, 3))
    return Network(
        (2, 12, 20),
        timesteps,
        (
            Layer("conv1", Input(random.normal(size=(3, 2, 3, 3)), gain=gains, padding=1), LIF(0.9, 1.0, bias=0.1)),
            Layer("conv2", Input(random.normal(size=(5, 3, 3, 3)), pool=2, stride=2, padding=1), LIF(0.8)),
            Layer("fc3", random.normal(size=(6, 5 * 3 * 5)), LIF(1.0)),
        ),
        Readout(random.normal(size=(4, 6))),
        encoder,
    )


def small_graph(timesteps: int, encoder: Encoder = "poisson") -> Network:
    """The same layers: the first reads itself two steps later, the second the last one, three steps later."""
    random = np.random.default_rng(2)
    chain = small_network(timesteps, encoder)
    conv1, conv2, fc3 = chain.layers
    own = Input(random.normal(size=(3, 3, 1, 1)), (Source("conv1", 2), Source("conv1", 3, sign=-1)))
    back = Input(random.normal(size=(5, 6, 7, 5)), Source("fc3", 3), padding=4)
    conv1, conv2 = (replace(layer, inputs=(*layer.inputs, more)) for layer, more in ((conv1, own), (conv2, back)))
    sums = with_first(fc3, source=("conv2", Source("conv2", 6)))
    return replace(chain, layers=(conv1, conv2, sums))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("encoder", ["poisson", "constant-current"])
@pytest.mark.parametrize("work", [1, 120_000, 1 << 30])
@pytest.mark.parametrize("build", [small_network, small_graph])
def test_neither_chunks_nor_parts_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, device: str, encoder: Encoder, work: int, build: Callable[[int, Encoder], Network]
):
    """From one step of one sample at a time to all of all at once."""
    monkeypatch.setattr("spikesam.backends.torch.backend.CPU_BYTES", work)
    monkeypatch.setattr("spikesam.backends.torch.backend.GPU_BYTES", work)
    monkeypatch.setattr("spikesam.backends.torch.backend.CHUNK_STEPS", 2)
    network = quantise(build(11, encoder))
    random = np.random.default_rng(3)
    if encoder == "poisson":
        inputs = random.random((11, 5, 2, 12, 20)) < 0.4
    else:
        inputs = random.integers(-127, 128, (5, 2, 12, 20)).astype(np.int8)
    expected, expected_readout = simulate_reference(network, inputs)
    found = list(TorchBackend(device).run(network, [inputs], 5))
    assert (len(found) == 5) == (work == 1)
    for name, shape, raster in zip(network.raster_names, network.raster_shapes, expected, strict=True):
        assert 0 < raster.mean() < 1
        bits = np.concatenate([unpack(batch.spikes[name], shape) for batch in found], axis=1)
        assert np.array_equal(bits, raster)
    assert np.array_equal(np.concatenate([batch.readout for batch in found]), expected_readout)


@pytest.mark.parametrize("build", [small_network, small_graph])
def test_a_cpu_without_fast_int8_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, build: Callable[[int], Network]):
    network = quantise(build(7))
    inputs = np.random.default_rng(4).random((7, 2, 2, 12, 20)) < 0.4
    results = []
    for fast in (True, False):
        monkeypatch.setattr("spikesam.backends.torch.synapses.multiplies_int8", lambda fast=fast: fast)
        results.extend(TorchBackend("cpu").run(network, [inputs], 2))
    for name in network.raster_names:
        assert np.array_equal(*(result.spikes[name] for result in results))
    assert np.array_equal(results[0].readout, results[1].readout)


def test_input_may_be_read_only_and_cut_from_a_larger_array():
    network = quantise(small_network(7))
    inputs = np.random.default_rng(5).random((7, 6, 2, 12, 20)) < 0.4
    whole = np.ascontiguousarray(inputs[:, ::2])
    inputs.flags.writeable = False
    (expected,) = TorchBackend("cpu").run(network, [whole], 3)
    (found,) = TorchBackend("cpu").run(network, [inputs[:, ::2]], 3)
    for name in network.raster_names:
        assert np.array_equal(found.spikes[name], expected.spikes[name])


def test_what_was_handed_over_stays_as_it_was():
    network = quantise(small_network(7))
    inputs = np.random.default_rng(6).random((7, 2, 2, 12, 20)) < 0.4
    results = TorchBackend("cpu").run(network, [inputs, ~inputs], 4)
    first = next(results)
    copies = {name: bits.copy() for name, bits in first.spikes.items()}
    second = next(results)
    assert not np.array_equal(second.spikes["conv1"], copies["conv1"])
    for name, bits in copies.items():
        assert np.array_equal(first.spikes[name], bits)


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("torhc", "cpu", "backend is 'torhc', expected one of auto, event, lava, torch"),
        ("torch", "gpu", "device is 'gpu', expected auto, cpu, cuda or cuda:N"),
        ("lava", "cuda", "lava: device is 'cuda', expected auto or cpu"),
    ],
)
def test_backends_that_are_not_there(name, device, message):
    with pytest.raises(BackendError, match=message):
        make_backend(name, device)
