"""In which numbers a layer of two networks differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spikesam.backends.network import LIF, Input, Layer, Network, Readout, Source
from spikesam.backends.network.quantise import quantise
from spikesam.pipeline.comparison.why import differences

WEIGHT = np.array([[0.5, 0.25, 0.1], [0.75, 0.3, 1.0]], np.float32)


def network(weight: Any = WEIGHT, source: Any = ("input",), sign: int = 1, gain: Any = 1, **constants: Any) -> Network:
    neuron = LIF(**{"leak": 0.9, "bias": [0.1, 0.2]} | constants)
    layer = Layer("fc1", (Input(weight, source, gain), Input(None, Source("fc1", 2, sign), 0.5)), neuron)
    return Network((3, 1, 1), 4, (layer,), Readout(np.ones((1, 2), np.float32)), "spikes")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"leak": 0.8}, "leak 0.9 in A, 0.8 in B"),
        ({"threshold": [1.0, 1.5]}, "1 of 2 threshold, by 0.5 at most"),
        ({"bias": [0.1, 0.5], "synaptic_leak": 0.25}, "synaptic leak 0 in A, 0.25 in B; 1 of 2 biases, by 0.3 at most"),
        ({"reset": "zero"}, "reset subtract in A, zero in B"),
        ({"reset_by": 0.9}, "subtraction at a spike 1 in A, 0.9 in B"),
        ({"fires_at_threshold": True}, "firing at the threshold no in A, yes in B"),
        ({"min_v_mem": -1}, "lowest membrane -inf in A, -1 in B"),
        ({"gain": 2}, "2 of 2 gain of input 1, by 1 at most"),
        ({"weight": WEIGHT * [1, 2, 1]}, "2 of 6 weights of input 1, by 0.3 at most"),
        ({"source": Source("input", 2)}, "delay from input 1 in A, 2 in B"),
        ({"sign": -1}, "sign of fc1 1 in A, -1 in B"),
    ],
)
def test_what_differs(changed: dict[str, Any], said: str) -> None:
    assert differences(network(), network(**changed), "fc1") == f" in fc1: {said}"


def test_a_network_that_is_rounded_differs_by_that_alone() -> None:
    """Unless both do where both are rounded."""
    rounded = ": one is in fixed point, whose numbers are rounded"
    assert differences(network(), quantise(network()), "fc1") == rounded
    assert differences(quantise(network(leak=0.5)), network(), "fc1") == " in fc1: leak 0.5 in A, 0.8999023 in B"
    tiny = network(threshold=1e-9)  # which nothing rounds
    assert differences(tiny, quantise(network()), "fc1") == rounded
