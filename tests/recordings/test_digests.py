"""The identity of a raster, from the digests of its samples."""

import hashlib

import numpy as np
import pytest

from spikesam.recordings.digests import ROWS, raster_digest


@pytest.mark.parametrize("samples", [1, 2, ROWS, ROWS + 1, 2 * ROWS + 1])
def test_every_digest_counts_layer_by_layer(samples: int) -> None:
    layers = [
        [hashlib.sha256(f"{layer} {sample}".encode()) for sample in range(samples)]
        for layer in ("conv1", "fc2")
    ]
    tables = [np.array([digest.hexdigest() for digest in layer], "S64") for layer in layers]
    raw = b"".join(digest.digest() for layer in layers for digest in layer)
    assert raster_digest(tables) == hashlib.sha256(raw).hexdigest()
