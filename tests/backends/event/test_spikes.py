"""Spikes between layers, worked by hand: of one neuron each, some steps at a time."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesam.backends.event import _spikes as event_spikes
from spikesam.backends.event._spikes import ChainSpikes, GraphSpikes
from spikesam.backends.network import LIF, Encoder, Input, Layer, Network, Readout, Source

ONE = np.ones((1, 1), np.float32)


def two_layers(delay: int, encoder: Encoder = "spikes") -> Network:
    """The input, "a", and "b", which reads "a"; the first source is `delay` steps late in b, and in
    a if it is a current.
    """
    late = {"a": Source("input"), "b": Source("a", delay)}
    if encoder != "spikes":
        late = {"a": Source("input", delay), "b": Source("a", 2)}
    layers = tuple(Layer(name, Input(ONE, source), LIF(0.0)) for name, source in late.items())
    return Network((1, 1, 1), 6, layers, Readout(ONE), encoder)


def listed(arrays: list[NDArray[Any] | None]) -> list[Any]:
    return [None if array is None else array.ravel().tolist() for array in arrays]


def test_what_arrives_was_fired_so_many_steps_before() -> None:
    spikes = GraphSpikes(two_layers(3))
    for _ in range(2):  # what an earlier sample fired does not matter
        spikes.begin(np.array([[128], [0], [128], [128], [0], [0]], np.uint8))
        spikes.rest([range(6), range(1, 6), range(3, 6)])
        spikes.room(1, slice(0, 6)).ravel()[:] = [False, True, False, True, True, True]
        assert listed(spikes.arrived(0, slice(1, 3))) == [[False, True]]  # of the input
        # In steps 1 and 2 arrives what a fired in steps -2 and -1, in 3 to 5 that of 0 to 2.
        assert listed(spikes.arrived(1, slice(0, 2))) == [[False, False]]
        assert listed(spikes.arrived(1, slice(2, 5))) == [[False, True, False]]
    spikes.rest([range(6), range(2, 6), range(3, 6)])  # a begins later: nothing of before is left
    assert listed(spikes.arrived(1, slice(2, 5))) == [[False, False, False]]
    assert listed(spikes.arrived(0, slice(1, 3))) == [[False, True]]


def test_nobody_fires_where_a_layer_of_a_chain_does_not_act(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is in the memory, which is all spikes here."""
    monkeypatch.setattr(event_spikes, "_empty", lambda steps, shape: np.ones((steps, *shape), bool))
    spikes = ChainSpikes(two_layers(1))
    spikes.rest([range(6), range(2, 4), range(6)])
    assert spikes.room(1, slice(0, 6)).ravel().tolist() == [False, False, True, True, False, False]
    for steps, fired in ((slice(0, 3), [0, 0, 1]), (slice(3, 5), [1, 0]), (slice(4, 6), [0, 0])):
        assert spikes.room(1, steps).ravel().tolist() == fired
        assert listed(spikes.arrived(1, steps)) == [fired]


@pytest.mark.parametrize("kind", [ChainSpikes, GraphSpikes])
def test_a_constant_current_begins_as_late_as_it_is(kind: Any) -> None:
    """A current of 7; None where it stays as it was."""
    late, at_once = kind(two_layers(3, "constant-current")), kind(two_layers(1, "constant-current"))
    seven = np.array([[7.0]], np.float32)
    assert [current.item() for _, current in late.begin(seven)] == [0]
    assert [current.item() for _, current in at_once.begin(seven)] == [7]
    for steps, arrives in (
        (slice(0, 2), None),  # acts in steps 1 and 2
        (slice(0, 3), [0, 0, 7]),
        (slice(1, 4), [0, 7, 7]),
        (slice(2, 3), [7]),
        (slice(3, 6), None),
    ):
        assert listed(late.arrived(0, steps)) == [arrives]
        assert listed(at_once.arrived(0, steps)) == [None]
