"""Names of layers mean the same to all methods of maps."""

from __future__ import annotations

import pytest

from spikesam.pipeline.maps.layers import spatial_layers
from spikesam.recordings.errors import InputError

KINDS = {"input": "input", "conv1": "conv", "fc1": "dense"}


def test_layers_by_any_name_in_order_of_depth() -> None:
    assert spatial_layers(KINDS, [], "here") == ("input", "conv1")
    assert spatial_layers(KINDS, ["conv1", "0", "001", "1"], "here") == ("input", "conv1")
    with pytest.raises(InputError, match="^here: no layer 'conv2'; did you mean conv1"):
        spatial_layers(KINDS, ["conv2"], "here")
    with pytest.raises(InputError, match="^here: layer 'fc1' is dense.*; choose from input, conv1$"):
        spatial_layers(KINDS, ["input", "fc1"], "here")
    with pytest.raises(InputError, match="^here: has dense layers only"):
        spatial_layers({"fc1": "dense"}, [], "here")
