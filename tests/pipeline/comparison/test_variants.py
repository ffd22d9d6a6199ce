"""Other rules of a neuron: none is the neuron's own, and each is another one."""

from __future__ import annotations

import pytest

from spikesam.backends.network import LIF, FixedLIF
from spikesam.pipeline.comparison.variants import rules_of

ABOVE, AT = "firing above the threshold alone", "firing at the threshold, too"
ZERO, SUBTRACT = "a reset to zero", "a reset by subtraction"
FRONT, BEHIND = "a reset by subtraction in front of the leak", "a reset by subtraction behind the leak"


@pytest.mark.parametrize(
    ("neuron", "names"),
    [
        (LIF(0.5, 1.0), [AT, ZERO, FRONT]),
        (LIF(0.5, 1.0, reset_by=0.5), [AT, ZERO, BEHIND]),
        (LIF(1.0, 1.0), [AT, ZERO]),  # without a leak, in front of it and behind it are the same
        (LIF(0.5, 1.0, reset="zero", fires_at_threshold=True), [ABOVE, SUBTRACT, FRONT]),
        (FixedLIF(1024, reset="zero", threshold=1600), [AT, SUBTRACT, FRONT]),
    ],
)
def test_rules(neuron: LIF | FixedLIF, names: list[str]) -> None:
    assert [*rules_of(neuron)] == names


def test_what_is_subtracted_in_front_of_the_leak() -> None:
    assert rules_of(FixedLIF(1024, threshold=1600))[FRONT].neuron.subtracted == 1200  # 3/4 of it is left
