"""How the torch backend cuts its work into pieces, and packs; what all backends share is in
test_contract.py.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikesam.backends.available import make_backend
from spikesam.backends.base import BackendError
from spikesam.backends.network import Network
from spikesam.backends.network.quantise import quantise
from spikesam.backends.torch.backend import TorchBackend
from spikesam.recordings.raster.batch import joined, unpack
from tests.backends.networks import changing_maps, constant_odd, odd_sizes, samples, staggered
from tests.reference import simulate_reference

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
Build = Callable[[np.random.Generator], Network]


def drawn(build: Build = odd_sizes) -> tuple[Network, NDArray[np.bool_]]:
    """A network in fixed point, and six samples."""
    rng = np.random.default_rng(2)
    network = quantise(build(rng))
    return network, samples(rng, network)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("work", [1, 50_000, 1 << 30])
@pytest.mark.parametrize("build", [odd_sizes, staggered, constant_odd, changing_maps])
def test_neither_chunks_nor_parts_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, device: str, work: int, build: Build
) -> None:
    """From one step of one sample at a time to all of all at once."""
    monkeypatch.setattr("spikesam.backends.torch.backend.CPU_BYTES", work)
    monkeypatch.setattr("spikesam.backends.torch.backend.GPU_BYTES", work)
    monkeypatch.setattr("spikesam.backends.torch.backend.CHUNK_STEPS", 2)
    network, inputs = drawn(build)
    expected, expected_readout = simulate_reference(network, inputs)
    batches = list(TorchBackend(device).run(network, [inputs], 6))
    assert (len(batches) == 6) == (work == 1)
    found = joined(batches)
    for name, shape, raster in zip(
        network.raster_names, network.raster_shapes, expected, strict=True
    ):
        assert 0 < raster.mean() < 1
        assert np.array_equal(unpack(found.spikes[name], shape), raster)
    assert np.array_equal(found.readout, expected_readout)


@pytest.mark.parametrize("build", [odd_sizes, staggered])
def test_a_cpu_without_fast_int8_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, build: Build
) -> None:
    network, inputs = drawn(build)
    results = []
    for fast in (True, False):
        monkeypatch.setattr(
            "spikesam.backends.torch.synapses.multiplies_int8", lambda fast=fast: fast
        )
        results.append(joined([*TorchBackend("cpu").run(network, [inputs], 6)]))
    for name in network.raster_names:
        assert np.array_equal(*(result.spikes[name] for result in results))
    assert np.array_equal(results[0].readout, results[1].readout)


def test_input_may_be_read_only_and_cut_from_a_larger_array() -> None:
    network, inputs = drawn()
    whole = np.ascontiguousarray(inputs[:, ::2])
    inputs.flags.writeable = False
    (expected,) = TorchBackend("cpu").run(network, [whole], 3)
    (found,) = TorchBackend("cpu").run(network, [inputs[:, ::2]], 3)
    for name in network.raster_names:
        assert np.array_equal(found.spikes[name], expected.spikes[name])


def test_what_was_handed_over_stays_as_it_was() -> None:
    network, inputs = drawn()
    results = TorchBackend("cpu").run(network, [inputs, ~inputs], 12)
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
def test_backends_that_are_not_there(name: str, device: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        make_backend(name, device)
