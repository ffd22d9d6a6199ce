"""The NIR paper's convolutional network (Pedersen et al. 2024) on a real recording of N-MNIST: it sees a 4.

The numbers of output spikes are those of an evaluation in plain torch, with two spikes of one pixel and bin as one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam

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


def published(shared: Path, timesteps: int, reset: Any) -> spikesam.Network:
    return spikesam.from_nir(shared / "data/nir/cnn_sinabs.nir", timesteps, dt=1, reset=reset, fires_at_threshold=True)


def output_spikes(raster: spikesam.RasterReader) -> list[int]:
    return raster["fc2"][0].sum(axis=(0, 2, 3)).tolist()


@pytest.mark.parametrize("backend", ["event", "torch"])
@pytest.mark.parametrize(("milliseconds", "reset"), COUNTS)
def test_its_output_spikes_are_those_that_are_known(shared: Path, milliseconds: int, reset: str, backend: str) -> None:
    spikes = recorded(shared, milliseconds)
    network = published(shared, len(spikes), reset)
    raster = spikesam.simulate(network, spikes, backend=backend, precision="float32", device="cpu")
    assert output_spikes(raster) == COUNTS[milliseconds, reset]
    fixed = spikesam.simulate(network, spikes, backend=backend, device="cpu")
    assert fixed.predictions.tolist() == raster.predictions.tolist() == [4]


@pytest.mark.long
def test_lava_and_maps(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    spikes = recorded(shared, 3)
    network = published(shared, len(spikes), "zero")
    on_lava = spikesam.simulate(network, spikes, backend="lava", precision="float32", out=tmp_path / "float32")
    assert output_spikes(on_lava) == COUNTS[3, "zero"]
    fixed = spikesam.simulate(network, spikes, backend="lava", out=tmp_path / "fixed")
    same = spikesam.simulate(network, spikes, backend="event")
    assert fixed.raster_digest == same.raster_digest
    maps = spikesam.explain(fixed)
    for name, shape in (("input", (34, 34)), ("conv1", (16, 16)), ("conv2", (16, 16)), ("conv3", (8, 8))):
        heat = maps[name].sum
        assert heat.shape == (1, *shape)
        assert heat.max() > 0
