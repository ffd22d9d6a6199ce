"""Which inputs pass spikes on, and what the gains of several are together."""

from typing import Any

import numpy as np
import pytest

from spikesam.backends.event.kernels._relay import joined_gains, relay_of
from spikesam.backends.network import MEMBRANE_LIMIT, Conv, FixedLIF, Input

SHAPE = 3, 4, 6


def diagonal(*places: tuple[int, int], **geometry: Any) -> Input:
    """1×1 weights of 5 at these outputs and channels, of three each, and else 0."""
    weight = np.zeros((3, 3, 1, 1), np.int8)
    for output, channel in places:
        weight[output, channel] = 5
    return Input(Conv(weight, **geometry))


def test_weights_of_a_part_of_a_diagonal_are_a_relay() -> None:
    relay = relay_of(diagonal((0, 1), (1, 2)), SHAPE)
    assert relay is not None
    assert (relay.weights.tolist(), relay.output, relay.channel) == ([5, 5], 0, 1)


@pytest.mark.parametrize(
    "places", [(), ((0, 0), (2, 1)), ((0, 0), (1, 2)), ((0, 0), (0, 1)), ((0, 1), (1, 0))]
)
def test_other_weights_are_none(places: Any) -> None:
    assert relay_of(diagonal(*places), SHAPE) is None


@pytest.mark.parametrize(
    "geometry",
    [
        {"stride": (1, 2)},
        {"padding": 1},
        {"pool": (2, 1)},
        {"current_pool": 2},
        {"current_sum": True},
    ],
)
def test_pooling_or_moving_spikes_is_no_relay(geometry: dict[str, Any]) -> None:
    assert relay_of(diagonal((0, 0), (1, 1), **geometry), SHAPE) is None


def test_gains_of_relays_to_different_outputs_are_joined() -> None:
    """Gains of 3/2 and of 5/4 and 7/4, in two steps; nothing reaches the third output."""
    first, second = diagonal((0, 0)), diagonal((1, 0))
    first = Input(first.synapse, gain=np.full((1, 3), 3), shift=1)
    second = Input(second.synapse, gain=np.repeat([[5], [7]], 3, axis=1), shift=2)
    inputs, neuron = (first, second), FixedLIF(0)

    def joined(*inputs: Input, neuron: FixedLIF = neuron) -> Any:
        relays = [relay_of(layer_input, SHAPE) for layer_input in inputs]
        return joined_gains(neuron.of_channels(3), inputs, relays)

    assert joined(*inputs).tolist() == [[1.5, 1.25, 0], [1.5, 1.75, 0]]
    assert joined(first) is None
    assert joined(first, second, second) is None  # two at the second output
    apart = Input(diagonal((1, 0), (2, 2)).synapse, gain=np.ones((1, 3), np.int32))
    assert joined(first, apart) is None  # no relay
    assert joined(*inputs, neuron=FixedLIF(0, synaptic_decay=1000)) is None
    # At most 5 · 1.75 = 8.75 and the bias: beyond the limit of the current of several inputs.
    assert joined(*inputs, neuron=FixedLIF(0, bias=MEMBRANE_LIMIT - 9)) is not None
    assert joined(*inputs, neuron=FixedLIF(0, bias=MEMBRANE_LIMIT - 8)) is None
