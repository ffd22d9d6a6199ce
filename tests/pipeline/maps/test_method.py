"""Any way to explain samples goes to a file, and names of layers mean the same to all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.maps.method import MapMethod, spatial_layers, write_maps
from recordings.errors import InputError
from recordings.maps.reader import MapReader
from recordings.maps.schema import MapHeader, MapLayer
from recordings.schema import SampleTable

KINDS = {"input": "input", "conv1": "conv", "fc1": "dense"}


class Ramp:
    """Maps of one step whose pixels count up from the number of the sample."""

    header = MapHeader("grad-cam", "ab" * 32, {}, 1, (MapLayer("conv1", 1, (2, 3), 1),))
    samples = SampleTable(np.array([5, 6]), np.array([1, -1]))

    def explain(self, sample: int) -> tuple[int, dict[str, NDArray[np.float32]]]:
        return 3 - sample, {"conv1": sample + np.arange(6, dtype=np.float32).reshape(1, 2, 3)}


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    method: MapMethod = Ramp()
    write_maps(method, tmp_path / "maps.h5")
    with MapReader(tmp_path / "maps.h5") as maps:
        assert maps.header == Ramp.header
        assert maps.predictions.tolist() == [3, 2]
        assert maps.samples.label.tolist() == [1, -1]
        np.testing.assert_array_equal(maps["conv1"][1], [[[1, 2, 3], [4, 5, 6]]])


def test_layers_by_any_name_in_order_of_depth() -> None:
    assert spatial_layers(KINDS, [], "here") == ("input", "conv1")
    assert spatial_layers(KINDS, ["conv1", "0", "001", "1"], "here") == ("input", "conv1")
    with pytest.raises(InputError, match="^here: no layer 'conv2'; did you mean conv1"):
        spatial_layers(KINDS, ["conv2"], "here")
    with pytest.raises(InputError, match="^here: layer 'fc1' is dense.*; choose from input, conv1$"):
        spatial_layers(KINDS, ["input", "fc1"], "here")
    with pytest.raises(InputError, match="^here: has dense layers only"):
        spatial_layers({"fc1": "dense"}, [], "here")
