"""Any way to explain samples goes to a file, and names of layers mean the same to all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.maps.method import Explained, MapMethod, spatial_layers, summed, write_maps
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import MapHeader, MapLayer
from recordings.schema import SampleTable

KINDS = {"input": "input", "conv1": "conv", "fc1": "dense"}


class Ramp:
    """Maps whose pixels count up from the number of the sample, over 3 steps, of which 2 matter."""

    header = MapHeader("grad-cam", "ab" * 32, {}, 3, (MapLayer("conv1", 1, (2, 3), 2),), (0, 2), 1)
    samples = SampleTable(np.array([5, 6]), np.array([1, -1]))

    def explain(self, sample: int) -> Explained:
        return summed(
            self.header, sample, 3 - sample, {"conv1": sample + np.arange(18, dtype=np.float32).reshape(3, 2, 3)}
        )


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    method: MapMethod = Ramp()
    write_maps(method, tmp_path / "maps.h5")
    with MapReader(tmp_path / "maps.h5") as maps:
        assert maps.header == Ramp.header
        assert maps.predictions.tolist() == [3, 2]
        assert maps.samples.label.tolist() == [1, -1]
        np.testing.assert_array_equal(maps["conv1"].sum, [[[6, 8, 10], [12, 14, 16]], [[8, 10, 12], [14, 16, 18]]])
        np.testing.assert_array_equal(maps["conv1"][0], [[[0, 1, 2], [3, 4, 5]], [[12, 13, 14], [15, 16, 17]]])
        with pytest.raises(InputError, match="of its first sample, not of sample 1"):
            maps["conv1"][1]


def test_layers_by_any_name_in_order_of_depth() -> None:
    assert spatial_layers(KINDS, [], "here") == ("input", "conv1")
    assert spatial_layers(KINDS, ["conv1", "0", "001", "1"], "here") == ("input", "conv1")
    with pytest.raises(InputError, match="^here: no layer 'conv2'; did you mean conv1"):
        spatial_layers(KINDS, ["conv2"], "here")
    with pytest.raises(InputError, match="^here: layer 'fc1' is dense.*; choose from input, conv1$"):
        spatial_layers(KINDS, ["input", "fc1"], "here")
    with pytest.raises(InputError, match="^here: has dense layers only"):
        spatial_layers({"fc1": "dense"}, [], "here")
