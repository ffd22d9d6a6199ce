"""Networks run on each backend, beside the equations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.backends.base import Backend, InputBatch
from spikesam.backends.event.backend import EventBackend
from spikesam.backends.network import Network
from spikesam.recordings.raster.batch import PackedSpikes, joined, unpack
from tests.reference import simulate_reference

# Starting Lava takes seconds, so each of its runs checks many things, and its stock models see only
# what concerns them. "processes" are those of its graph, without its runtime.
BACKENDS = ("event", "torch", "processes", "processes-stock", "lava", "lava-stock")


def make_backend(name: str) -> Backend:
    if name == "torch":
        return pytest.importorskip("spikesam.backends.torch.backend").TorchBackend(device="cpu")
    if name == "event":
        return EventBackend(threads=2)
    pytest.importorskip("lava", reason="lava-nc is not installed")
    models: Any = "stock" if name.endswith("stock") else "event"
    if name.startswith("processes"):
        from tests.backends.lava.in_process import InProcessBackend

        return InProcessBackend(models)
    from spikesam.backends.lava._backend import LavaBackend

    return LavaBackend(models)


def simulate(
    name: str, network: Network, inputs: NDArray[Any], batches: Sequence[int]
) -> tuple[list[NDArray[np.bool_]], NDArray[Any]]:
    """Run all samples, handed over in batches of the sizes given; (T, B, C, H, W) rasters and (B,
    classes) readout.

    Every other batch of spikes is packed.
    """
    assert sum(batches) == inputs.shape[-4]
    parts: list[InputBatch] = np.split(inputs, np.cumsum(batches)[:-1], axis=-4)
    if network.spiking_input:
        parts[::2] = [PackedSpikes.of(part) for part in parts[::2] if isinstance(part, np.ndarray)]
    results = list(make_backend(name).run(network, iter(parts), sum(batches)))
    for result in results:
        assert tuple(result.spikes) == network.raster_names
        assert result.readout.dtype == (np.int32 if network.precision == "fixed" else np.float32)
    batch, shapes = joined(results), zip(network.raster_names, network.raster_shapes, strict=True)
    return [unpack(batch.spikes[key], shape) for key, shape in shapes], batch.readout


def assert_same(
    network: Network, rasters: list[NDArray[np.bool_]], expected: list[NDArray[np.bool_]]
) -> None:
    for name, raster, wanted in zip(network.raster_names, rasters, expected, strict=True):
        assert raster.shape == wanted.shape
        assert np.array_equal(raster, wanted), (
            f"{name}: {np.sum(raster != wanted)} of {wanted.size} bits differ"
        )


def check(
    name: str, network: Network, inputs: NDArray[Any], batches: Sequence[int]
) -> list[NDArray[np.bool_]]:
    """Run all samples: rasters and readout are those of the equations; the rasters."""
    expected, expected_readout = simulate_reference(network, inputs)
    rasters, readout = simulate(name, network, inputs, batches)
    assert_same(network, rasters, expected)
    assert np.array_equal(readout, expected_readout)
    return rasters
