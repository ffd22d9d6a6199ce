"""Names, numbers and steps of layers."""

from __future__ import annotations

import pytest

from spikesam.recordings.errors import InputError
from spikesam.recordings.schema import NamedLayer, check_name, find_layer, parse_group, steps_that_matter


def test_a_group_is_the_number_and_the_name() -> None:
    assert NamedLayer("conv1", 1).group == "001_conv1"
    assert parse_group("012_fc_out") == (12, "fc_out")
    assert [parse_group(wrong) for wrong in ("conv1", "01_conv1", "001_1", "001_a.b", "001_" + "a" * 65, "٠٠١_a")] == [
        None
    ] * 6


@pytest.mark.parametrize("name", ["", "1conv", "features.0", "a b", "a" * 65])
def test_a_name_is_an_identifier(name: str) -> None:
    with pytest.raises(InputError, match="expected a name such as 'conv1'"):
        check_name(name)


def test_a_layer_is_found_by_name_or_number() -> None:
    numbers = {"input": 0, "conv1": 1, "conv2": 2}
    assert [find_layer(wanted, numbers, "here") for wanted in ("conv1", 2, "0", "001")] == [
        "conv1",
        "conv2",
        "input",
        "conv1",
    ]
    for wanted in ("001_conv1", "", -1, 3, "²"):
        with pytest.raises(InputError, match=r"^here: no layer .*; did you mean .*\?$"):
            find_layer(wanted, numbers, "here")


def test_steps_that_matter_by_hand() -> None:
    """The readout sums up to step 15; a spike that needs six more steps must come before step 10."""
    assert steps_that_matter(16, 6) == 10
    assert steps_that_matter(16, 0) == 16
    assert steps_that_matter(2, 7) == 1
