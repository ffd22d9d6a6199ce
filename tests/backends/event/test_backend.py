"""What is the event backend's own; what all backends share is in test_contract.py."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikesam.backends.available import make_backend
from spikesam.backends.base import BackendError
from spikesam.backends.event.backend import CHUNK, EventBackend, first_currents
from spikesam.backends.event.kernels.chain import alike
from spikesam.backends.event.kernels.layer import LayerKernel
from spikesam.backends.network import LIF, Conv, FixedLIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.recordings.raster.batch import joined
from tests.backends.networks import constant_odd, odd_sizes, resets, samples


def one_layer(timesteps: int) -> Network:
    """Two inputs, two neurons: W = [[1, 2], [4, 8]] behind pooling 1."""
    layer = Layer("fc1", np.float32([[1, 2], [4, 8]]), LIF(1.0))
    return Network((2, 1, 1), timesteps, (layer,), Readout(np.eye(2, dtype=np.float32)))


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = quantise(odd_sizes(np.random.default_rng(5)))
    inputs = samples(np.random.default_rng(6), network)
    found = [list(EventBackend(threads).run(network, [inputs], 6)) for threads in (1, 2, 4)]
    monkeypatch.setattr("spikesam.backends.event.backend.HANDED_OVER", 0)
    found.append(list(EventBackend(2).run(network, [inputs], 6)))
    assert [[len(batch) for batch in batches] for batches in found] == [
        [6],
        [3, 3],
        [1] * 6,
        [1] * 6,
    ]
    alone, *others = map(joined, found)
    for other in others:
        assert all(
            np.array_equal(alone.spikes[name], other.spikes[name]) for name in network.raster_names
        )
        assert np.array_equal(alone.readout, other.readout)


@pytest.mark.parametrize("build", [odd_sizes, constant_odd, resets])
def test_threads_that_share_a_sample_change_nothing(
    build: Callable[[np.random.Generator], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesam.backends.event.backend.CHUNK", 2)
    monkeypatch.setattr("spikesam.backends.event.backend.SPIKES", 0)
    monkeypatch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
    network = quantise(build(np.random.default_rng(5)))
    inputs = samples(np.random.default_rng(6), network)
    first = inputs[..., :1, :, :, :]
    backend = EventBackend(3)
    for some in (first, inputs[..., 1:2, :, :, :], first):  # room is used again, and begins at rest
        (alone,), (shared,) = (
            list(each.run(network, [some], 1)) for each in (EventBackend(1), backend)
        )
        assert all(
            np.array_equal(alone.spikes[name], shared.spikes[name]) for name in network.raster_names
        )
        assert np.array_equal(alone.readout, shared.readout)


def test_a_layer_that_reads_itself_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row can depend on the step before of rows that another thread would compute, sooner or
    later.
    """
    monkeypatch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (4, 6, 3, 3)).astype(np.int8)
    again = Input(Conv(weight[:, 2:], padding=1), Source("again"), 1)
    layer = Layer(
        "again", (Input(Conv(weight[:, :2], padding=1), Source("input"), 6), again), FixedLIF(400)
    )
    network = Network((2, 16, 16), 20, (layer,), Readout(np.ones((3, 1024), np.int8)), "spikes")
    backend = EventBackend(2)
    for _ in range(2):
        spikes = rng.random((20, 1, 2, 16, 16)) < 0.3
        [alone] = EventBackend(1).run(network, [spikes], 1)
        [shared] = backend.run(network, [spikes], 1)
        assert alone.spikes["again"].any()
        assert np.array_equal(alone.spikes["again"], shared.spikes["again"])


def test_an_error_in_a_shared_sample_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise MemoryError("no room for conv2")

    def call(kernel: LayerKernel, start: int, *arguments: Any) -> Any:
        return (
            fail if start == 2 and kernel.output_shape[2] == 6 else whole(kernel, start, *arguments)
        )

    whole = LayerKernel.call
    monkeypatch.setattr(LayerKernel, "call", call)
    monkeypatch.setattr("spikesam.backends.event.backend.CHUNK", 2)
    monkeypatch.setattr("spikesam.backends.event.backend.SPIKES", 0)
    monkeypatch.setattr("spikesam.backends.event.kernels.layer.LEAST", 1)
    network = odd_sizes(np.random.default_rng(5))
    inputs = samples(np.random.default_rng(6), network)[:, :1]
    with pytest.raises(MemoryError, match="no room for conv2"):
        list(EventBackend(3).run(network, [inputs], 1))


def test_currents_of_every_step_but_the_last() -> None:
    timesteps = CHUNK + 3  # so that steps come in two parts
    spikes = np.zeros((timesteps, 1, 2, 1, 1), np.bool_)
    spikes[0, 0, 0] = spikes[CHUNK, 0, 1] = spikes[-1] = True
    found = np.concatenate(list(first_currents(one_layer(timesteps), [spikes])))
    expected = np.zeros((timesteps - 1, 1, 1, 2), np.float32)
    expected[0], expected[CHUNK] = (
        [1, 4],
        [2, 8],
    )  # what arrives at step t + 1; the last step's spikes arrive nowhere
    assert np.array_equal(found, expected)


def test_memory_grows_by_the_packed_bits_alone() -> None:
    layer = Layer("conv1", Input(Conv(np.ones((8, 2, 3, 3), np.float32) / 9, padding=1)), LIF(0.9))
    network = Network((2, 16, 16), 4000, (layer,), Readout(np.ones((2, 8 * 256), np.float32)))
    spikes = np.zeros((4000, 1, 2, 16, 16), np.bool_)
    backend = EventBackend(threads=1)
    list(backend.run(network, [spikes[:, :0]], 0))  # compiled
    tracemalloc.start()
    (batch,) = backend.run(network, [spikes], 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    handed_over = sum(bits.nbytes for bits in batch.spikes.values())
    assert peak < handed_over + 1_000_000  # the spikes of conv1 alone, unpacked, would be 8 MB


def test_layers_of_a_chain_are_laid_out_alike() -> None:
    network = odd_sizes(np.random.default_rng(5))
    kernels = [
        LayerKernel(layer, shape)
        for layer, shape in zip(network.layers, network.shapes[:-1], strict=True)
    ]
    assert all(kernel.plain for kernel in kernels)
    plain = [kernel.rest().inputs.first for kernel in kernels]
    assert alike(plain)
    assert not alike([*plain, plain[0]._replace(membrane=np.asfortranarray(plain[0].membrane))])


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "metal"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(BackendError, match=f"event: device is '{device}', expected auto or cpu"):
        make_backend("event", device)


def test_auto_is_event_where_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (make_backend("auto").name, make_backend("auto", "cpu").name) == ("event", "event")
    with pytest.raises(BackendError, match="device is 'cuda'"):
        make_backend("auto", "cuda")


def test_torch_is_not_imported_where_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        raise AssertionError("torch was asked")

    monkeypatch.setattr("spikesam.backends.torch.DRIVERS", ("no such library",))
    monkeypatch.setattr("spikesam.backends.torch.ROCM", Path("/no/such/device"))
    monkeypatch.setattr(torch.cuda, "is_available", refuse)
    assert make_backend("auto").name == "event"


def test_auto_is_torch_where_there_is_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("spikesam.backends.torch._loads", lambda library: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        "spikesam.backends.torch.backend.TorchBackend", lambda device: asked.append(device)
    )
    make_backend("auto")
    make_backend("auto", "cuda:1")
    assert asked == ["auto", "cuda:1"]
    assert make_backend("auto", "cpu").name == "event"


def test_layers_that_are_given_fire_what_is_given_and_others_need_theirs() -> None:
    """The second of two relays, a step late; the first, whatever it reads, fires what is given."""
    one = np.ones((1, 1), np.float32)
    layers = (Layer("first", one, LIF(0.0, 0.5)), Layer("second", one, LIF(0.0, 0.5)))
    network = Network((1, 1, 1), 4, layers, Readout(one), "spikes")
    given = np.array([[0], [128], [0], [128]], np.uint8)
    for threads in (1, 2):
        (batch,) = EventBackend(threads).rerun(network, [{"first": given}], 1)
        assert {name: bits.ravel().tolist() for name, bits in batch.spikes.items()} == {
            "first": [0, 128, 0, 128],
            "second": [0, 0, 128, 0],
        }
        assert batch.readout.tolist() == [[1.0]]
    with pytest.raises(BackendError, match="layer 'first' reads the input, which is not given"):
        list(EventBackend(1).rerun(network, [{"second": given}], 1))


def test_calls_may_be_made_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesam.backends.event.backend.HANDED_OVER", 0)  # a call for each sample
    network = quantise(odd_sizes(np.random.default_rng(5)))
    inputs = samples(np.random.default_rng(6), network)
    expected = joined(list(EventBackend(1).run(network, [inputs], 6)))
    calls = list(EventBackend(1).calls(network, [inputs], 6))
    assert [count for count, _ in calls] == [1] * 6
    made = {number: call() for number, (_, call) in reversed(list(enumerate(calls)))}
    found = joined([made[number] for number in range(len(calls))])
    assert all(
        np.array_equal(found.spikes[name], expected.spikes[name]) for name in network.raster_names
    )
    assert np.array_equal(found.readout, expected.readout)
