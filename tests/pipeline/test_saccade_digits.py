"""The bundled network for events: what it answers, and maps that follow the digit; on every backend alike."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import spikesam
from spikesam.pipeline import run
from spikesam.pipeline.images.datasets.saccade_digits import saccades

SAMPLES = 20


@pytest.fixture(scope="module")
def raster() -> spikesam.RasterReader:
    return spikesam.simulate("saccade-digits", samples=SAMPLES, backend="event")


def test_it_knows_digits_it_has_never_seen(raster: spikesam.RasterReader) -> None:
    assert (raster.predictions == raster.labels).mean() >= 0.9
    exact = spikesam.simulate("saccade-digits", samples=SAMPLES, backend="event", precision="float32")
    assert (exact.predictions == raster.labels).mean() >= 0.9
    assert spikesam.load("saccade-digits").network.timesteps == 34


def centres(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T, H, W) -> (T, 2) x and y of the centre of every step's map, in pixels of the sensor."""
    cell = 32 / maps.shape[1]
    place = (np.arange(maps.shape[1]) + 0.5) * cell
    total = maps.sum(axis=(1, 2))
    return np.stack([maps.sum(axis=axis) @ place / total for axis in (1, 2)], axis=1)


def test_maps_follow_the_digit(raster: spikesam.RasterReader) -> None:
    maps = spikesam.explain(raster, steps="all")
    way, times = saccades()
    bins = np.array([way[times // 10_000 == number].mean(axis=0) for number in range(30)])[3:]
    wanted = bins - bins.mean(axis=0)
    for depth, name in enumerate(maps):
        found = np.array([centres(maps[name][sample][depth : depth + 30])[3:] for sample in range(SAMPLES)])
        found -= found.mean(axis=1, keepdims=True)
        norms = np.sqrt((found**2).sum(axis=(1, 2)) * (wanted**2).sum())
        assert ((found * wanted).sum(axis=(1, 2)) / norms).mean() > 0.9, name


def test_the_run_command_is_the_same_on_event_and_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = set()
    for backend in ("event", "torch"):
        out = tmp_path / backend
        run.main(["--checkpoint", "saccade-digits", "--backend", backend, "--samples", "3", "--out", str(out)])
        digests.add(json.loads((out / "summary.json").read_text())["raster_digest"])
        assert "merged (same pixel, polarity and bin)" in capsys.readouterr().out
    assert len(digests) == 1
    for name in ("overview", "sam_000", "spike_rates", "raster_conv3"):
        assert (tmp_path / "event" / "figures" / f"{name}.png").stat().st_size > 0


def test_lava_fires_the_same_bits(raster: spikesam.RasterReader) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    on_lava = spikesam.simulate("saccade-digits", samples=2, backend="lava")
    for name in raster:
        assert np.array_equal(on_lava[name][0:2], raster[name][0:2])


def test_a_real_recording_of_another_camera(shared: Path) -> None:
    """N-MNIST's camera and handwriting are others, so the network runs, but its answer is not checked."""
    one = spikesam.simulate("saccade-digits", shared / "data" / "events" / "nmnist.bin", backend="event")
    assert one["input"].counts.sum() > 2000
    assert one["conv3"].counts.sum() > 0
