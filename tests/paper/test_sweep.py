"""Sweeps over γ: the maps are those of every γ by itself, and the raster is decoded once."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from paper.common.heatmaps import swept
from spikesam.pipeline.maps.sam import spike_activation_maps
from spikesam.recordings import reader as reading
from spikesam.recordings.raster.reader import RasterReader
from tests.paper.setups import small_setup

GAMMAS = [gamma / 10 for gamma in range(11)]


def test_every_layer_of_an_image_before_the_next_with_each_chunk_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, decoded = small_setup(tmp_path, images=3), Counter[bytes]()
    path, decode = setup.recording(setup.networks.surrogate.network, setup.images), reading.decompress

    def counting(stored: bytes, size: int) -> bytes:
        decoded[stored] += 1
        return decode(stored, size)

    monkeypatch.setattr(reading, "decompress", counting)
    found = list(swept(setup, path, GAMMAS))
    assert decoded and set(decoded.values()) == {1}
    assert [(image, layer) for image, layer, _ in found] == [
        (i, layer) for i in range(3) for layer in ("conv1", "conv2")
    ]
    with RasterReader(path) as raster:
        for image, layer, maps in found:
            packed = raster.packed(layer, image)[: raster.steps_that_matter(layer)]
            for gamma, of_gamma in zip(GAMMAS, maps, strict=True):
                (alone,) = spike_activation_maps(packed, raster.layer(layer).shape, [gamma])
                np.testing.assert_array_equal(of_gamma, alone)
