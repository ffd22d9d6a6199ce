"""Names, numbers and steps of layers; what no header may hold."""

from dataclasses import replace

import numpy as np
import pytest

from spikesam.common.errors import InputError
from spikesam.recordings.maps.schema import MapLayer
from spikesam.recordings.raster.schema import LayerSpec
from spikesam.recordings.schema import (
    Header,
    NamedLayer,
    SampleTable,
    check_name,
    find_layer,
    parse_group,
)
from spikesam.recordings.schema import steps_that_matter as steps_before
from tests.recordings.conftest import MAPS, RASTER
from tests.recordings.maps import SUMS_ALONE

INPUT, CONV, _ = RASTER.header.layers


def layer_of_maps(
    name: str = "conv1", number: int = 1, shape: tuple[int, int] = (2, 2), steps: int = 1
) -> MapLayer:
    return MapLayer(name, number, shape, steps)


SEVENTEEN = tuple(layer_of_maps(f"conv{number}", number, (4096, 4096)) for number in range(1, 18))


def test_a_group_is_the_number_and_the_name() -> None:
    assert NamedLayer("conv1", 1).group == "001_conv1"
    assert parse_group("012_fc_out") == (12, "fc_out")
    wrong = ("conv1", "01_conv1", "001_1", "001_a.b", "001_" + "a" * 65, "٠٠١_a")
    assert not any(parse_group(group) for group in wrong)


@pytest.mark.parametrize("name", ["", "1conv", "features.0", "a b", "a" * 65])
def test_a_name_is_an_identifier(name: str) -> None:
    with pytest.raises(InputError, match="expected a name such as 'conv1'"):
        check_name(name)


def test_a_layer_is_found_by_name_or_number() -> None:
    numbers = {"input": 0, "conv1": 1, "conv2": 2}
    found = [find_layer(wanted, numbers) for wanted in ("conv1", 2, "0", "001")]
    assert found == ["conv1", "conv2", "input", "conv1"]
    for wanted in ("001_conv1", "", -1, 3, "²"):
        with pytest.raises(InputError, match=r"^no layer .*; did you mean .*\?$"):
            find_layer(wanted, numbers)


def test_steps_that_matter_by_hand() -> None:
    """The readout sums up to step 15; a spike that needs six more steps must come before step
    10.
    """
    assert [steps_before(*case) for case in ((16, 6), (16, 0), (2, 7))] == [10, 16, 1]


@pytest.mark.parametrize(
    ("header", "change", "message"),
    [
        (RASTER.header, {"timesteps": 0}, "timesteps is 0, expected 1 to 65,536"),
        (RASTER.header, {"classes": -1}, "classes is -1, expected 1 to 65,536"),
        (
            RASTER.header,
            {"classes": 0},
            "readout_scale is 0.5, expected 1 where there is no readout",
        ),
        (
            RASTER.header,
            {"precision": "half"},
            "precision is 'half', expected one of fixed, float32",
        ),
        (RASTER.header, {"seed": -1}, "seed is -1"),
        (RASTER.header, {"seed": 1 << 63}, "seed is 9223372036854775808"),
        (RASTER.header, {"dt": 0.0}, "dt is 0.0"),
        (
            RASTER.header,
            {"layers": (CONV, INPUT)},
            "layers are 1 conv1, 0 input; expected ascending numbers",
        ),
        (
            RASTER.header,
            {"layers": (INPUT, replace(CONV, name="input"))},
            "expected different names",
        ),
        (RASTER.header, {"window": 5}, "window is 5, expected 1 to 4 of 6 steps"),
        (RASTER.header, {"window": 0}, "window is 0, expected 1 to 4 of 6 steps"),
        (RASTER.header, {"layers": ()}, "0 layers"),
        (
            RASTER.header,
            {"dataset": "caf\udce9"},
            "dataset holds a null character or half a surrogate pair",
        ),
        (
            RASTER.header,
            {"device": "cpu\0"},
            "device holds a null character or half a surrogate pair",
        ),
        (MAPS.header, {"method": "Cam"}, "method is 'Cam', expected a name such as 'grad-cam'"),
        (
            MAPS.header,
            {"parameters": {"gamma": [0.5]}},
            "gamma is of type list, expected str, bool, int or float",
        ),
        (
            MAPS.header,
            {"parameters": {"stepped": 1}},
            "parameter 'stepped', expected a name such as 'gamma' that",
        ),
        (
            MAPS.header,
            {"parameters": {"raster_digest": "cd"}},
            "parameter 'raster_digest', expected a name such as",
        ),
        (
            MAPS.header,
            {"parameters": {"a b": 1}},
            "parameter 'a b', expected a name such as 'gamma'",
        ),
        (
            MAPS.header,
            {"parameters": {f"p{i}": i for i in range(33)}},
            "33 parameters, expected at most 32",
        ),
        (
            MAPS.header,
            {"steps": ()},
            "2 samples have maps of 0 steps, expected both above 0 or neither",
        ),
        (
            MAPS.header,
            {"stepped": 0},
            "0 samples have maps of 3 steps, expected both above 0 or neither",
        ),
        (MAPS.header, {"stepped": -1}, "-1 samples have maps of 3 steps"),
        (
            SUMS_ALONE,
            {"layers": (layer_of_maps("a b"),)},
            "layer 'a b': expected a name such as 'conv1'",
        ),
        (
            SUMS_ALONE,
            {"layers": (layer_of_maps(shape=(1 << 20, 1 << 20)),)},
            "1048576×1048576, expected 1 to",
        ),
        (
            SUMS_ALONE,
            {"layers": (layer_of_maps(shape=(4096, 4097)),)},
            "expected 1 to 16,777,216 pixels",
        ),
        (
            SUMS_ALONE,
            {"layers": SEVENTEEN},
            "one sample: 1,140,850,688 bytes in 17 layers, expected at most 1,073,741",
        ),
        (
            SUMS_ALONE,
            {"layers": (layer_of_maps(steps=7),)},
            "layer 'conv1': 7 steps matter, expected 1 to 6",
        ),
        (
            SUMS_ALONE,
            {"layers": MAPS.header.layers[::-1]},
            "layers are 1 conv1, 0 input; expected different names",
        ),
        (
            SUMS_ALONE,
            {"layers": (layer_of_maps(number=-1),)},
            "layers are -1 conv1; expected different names, and asc",
        ),
        (CONV, {"name": "1_conv"}, "layer '1_conv': expected a name such as 'conv1'"),
        (CONV, {"shape": (1, 0, 1)}, "expected positive"),
    ],
)
def test_what_no_file_may_hold_is_refused(
    header: Header | LayerSpec, change: dict[str, object], message: str
) -> None:
    """What test_untrusted.py puts into files is left out here."""
    with pytest.raises(InputError, match=message):
        replace(header, **change)


def test_a_sample_table_needs_samples_and_matching_integers() -> None:
    for index, label in (
        (np.arange(0), np.arange(0)),
        (np.arange(3), np.arange(2)),
        (np.arange(2.0), np.arange(2)),
    ):
        with pytest.raises(InputError):
            SampleTable(index, label)


def test_what_is_kept_of_maps_in_words() -> None:
    assert SUMS_ALONE.kept == "sums alone"
    assert (
        replace(MAPS.header, steps=tuple(range(6)), stepped=1).kept
        == "sums, and all steps of 1 sample"
    )


@pytest.mark.parametrize(
    ("change", "steps", "windows"),
    [
        ({}, [4, 5, 6], [slice(0, 6)] * 3),
        ({"layer_delay": 0}, [6, 6, 6], [slice(0, 6)] * 3),
        ({"window": 3}, [4, 5, 6], [slice(1, 4), slice(2, 5), slice(3, 6)]),
        ({"ways": (3, 1, 0)}, [3, 5, 6], [slice(0, 6)] * 3),
    ],
)
def test_which_steps_matter_by_the_way_on(
    change: dict[str, object], steps: list[int], windows: list[slice]
) -> None:
    if ways := change.pop("ways", None):  # where layers are no chain
        pairs = zip(RASTER.header.layers, ways, strict=True)
        change["layers"] = tuple(replace(layer, to_readout=way) for layer, way in pairs)
    header = replace(RASTER.header, **change)
    assert [header.steps_that_matter(layer) for layer in header.layers] == steps
    assert [header.window_of(layer) for layer in header.layers] == windows
