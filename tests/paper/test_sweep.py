"""Sweeps over γ: the maps are those of every γ by itself, and the raster is decoded once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from paper.common.sweep import sweep
from spikesam.pipeline.maps.sam import spike_activation_maps
from spikesam.recordings import reader as reading
from spikesam.recordings.errors import InputError
from spikesam.recordings.raster.reader import RasterReader
from tests.recordings.rasters import record

GAMMAS = [gamma / 10 for gamma in range(11)]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_layer_of_a_sample_before_the_next_sample(tmp_path: Path, workers: int) -> None:
    with RasterReader(record(tmp_path, 4)) as raster:
        found = list(sweep(raster, ["conv1", "input"], GAMMAS, [3, 0], workers=workers))
        assert [(sample, layer.name) for sample, layer, _ in found] == [
            (3, "conv1"),
            (3, "input"),
            (0, "conv1"),
            (0, "input"),
        ]
        for sample, layer, maps in found:
            assert maps.shape == (11, 6, 4, 5)
            for gamma, of_gamma in zip(GAMMAS, maps, strict=True):
                alone = spike_activation_maps(raster.packed(layer, sample), layer.shape, [gamma])[0]
                np.testing.assert_array_equal(of_gamma, alone)


def test_eleven_gammas_decode_every_chunk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[bytes] = Counter()
    decode = reading.decode

    def counting(stored: bytes, size: int) -> bytes:
        decoded[stored] += 1
        return decode(stored, size)

    monkeypatch.setattr(reading, "decode", counting)
    with RasterReader(record(tmp_path, 20)) as raster:
        decoded.clear()
        for _ in sweep(raster, ["conv1"], GAMMAS, range(20), workers=2):
            pass
        assert len(decoded) == 20 and set(decoded.values()) == {1}


def test_what_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with RasterReader(record(tmp_path, 2)) as raster:
        with pytest.raises(InputError, match="no layer 'conv7'"):
            list(sweep(raster, ["conv7"], GAMMAS, [0]))
        with pytest.raises(InputError, match="no sample 2, expected 0 to 1"):
            list(sweep(raster, ["conv1"], GAMMAS, [2]))
        with pytest.raises(InputError, match="gamma: got -1"):
            list(sweep(raster, ["conv1"], [0.5, -1], [0]))
