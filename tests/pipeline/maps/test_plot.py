"""Figures for notebooks: they have images, names and maps, and a reader passes for a mapping of its
layers.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import spikesam

SPIKES = np.random.default_rng(0).random((3, 5, 2, 6, 7)) < 0.3


@pytest.fixture
def raster(tmp_path: Path) -> spikesam.RasterReader:
    path = spikesam.write_raster(
        tmp_path / "raster.h5", {"conv1": SPIKES, "fc1": SPIKES[..., :1, :1]}
    )
    return spikesam.open_raster(path)


def ink(figure: Figure) -> int:
    """Colours that are drawn."""
    return len(np.unique(pixels(figure).reshape(-1, 4), axis=0))


def test_maps_and_rasters_draw_themselves(raster: spikesam.RasterReader) -> None:
    maps = spikesam.explain(raster)
    for figure in (
        maps.plot(),
        maps.plot(1, ["conv1"]),
        raster.plot(),
        raster.plot("conv1", sample=2),
    ):
        assert isinstance(figure, Figure)
        assert ink(figure) > 20
    wide, narrow = (maps.plot(samples).get_figwidth() for samples in (3, 1))
    assert wide >= narrow


def pixels(figure: Figure) -> NDArray[np.uint8]:
    figure.savefig(file := io.BytesIO())
    return np.asarray(Image.open(file))


def test_samples_are_a_number_of_first_ones_or_positions(raster: spikesam.RasterReader) -> None:
    maps = spikesam.explain(raster)
    assert np.array_equal(pixels(maps.plot([0, 1, 2])), pixels(maps.plot(3)))
    assert np.array_equal(pixels(maps.plot(range(3))), pixels(maps.plot()))
    assert np.array_equal(pixels(maps.plot([-1])), pixels(maps.plot([2])))
    assert not np.array_equal(pixels(maps.plot([2])), pixels(maps.plot([0])))


def test_what_cannot_be_drawn_is_one_line(raster: spikesam.RasterReader) -> None:
    maps = spikesam.explain(raster)
    with pytest.raises(spikesam.InputError, match="plot: samples is 0, expected a whole number"):
        maps.plot(0)
    with pytest.raises(spikesam.InputError, match="plot: no sample 3, expected 0 to 2"):
        maps.plot([0, 3])
    with pytest.raises(spikesam.InputError, match="plot: samples is empty"):
        maps.plot([])
    with pytest.raises(spikesam.InputError, match="conv2"):
        maps.plot(layers=["conv2"])
    with pytest.raises(spikesam.InputError, match="3"):
        raster.plot(sample=3)


def test_a_reader_is_a_mapping_of_its_layers(raster: spikesam.RasterReader) -> None:
    maps = spikesam.explain(raster)
    assert (maps.keys(), raster.keys()) == (("conv1",), ("conv1", "fc1"))
    assert {name: layer.sum.shape for name, layer in maps.items()} == {"conv1": (3, 6, 7)}
    assert np.array_equal(dict(raster)["conv1"][1], SPIKES[1])
    assert "conv1" in maps and "conv2" not in maps
