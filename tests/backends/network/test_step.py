"""One step in NumPy: numbers worked by hand, and the synapses of torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from spikesam.backends.network import Attention, Conv, Dense, Identity, Input, Source
from spikesam.backends.network.step import arrived, current_of
from tests.backends.graphs import synapses


def test_what_arrives_by_hand() -> None:
    fired = {"a": np.ones((3, 1, 1, 2), np.bool_), "b": np.eye(3, 2, dtype=np.bool_)[:, None, None]}
    both = Input(Identity(), (Source("a"), Source("b", 2, -1)))
    assert [arrived(both, fired, t).ravel().tolist() for t in range(3)] == [[0, 0], [1, 1], [0, 1]]


def test_what_arrives_is_spread_by_hand() -> None:
    """Channels, rows and columns are repeated beside themselves."""
    fired = {"a": np.array([[[[1, 0]], [[0, 1]]]], np.bool_)}  # two channels of 1×2
    found = arrived(Input(Identity(spread=(2, 2, 1)), (Source("a"),)), fired, 1)
    assert found.tolist() == [2 * [[1, 0]], 2 * [[1, 0]], 2 * [[0, 1]], 2 * [[0, 1]]]


def test_rows_and_columns_are_taken_by_hand() -> None:
    """Rows 1 and 0, then zeros; columns 0 and 0; and back, where copies are summed."""
    given = Input(Identity(rows=(1, 0, -1), columns=(0, 0)), (Source("a"),))
    fired = {"a": np.array([[[[1, 0], [0, 1]]]], np.bool_)}  # one channel of 2×2
    assert arrived(given, fired, 1).tolist() == [[[0, 0], [1, 1], [0, 0]]]
    shares = np.arange(6).reshape(1, 3, 2)
    assert given.synapse.gathered(shares, (1, 2, 2)).tolist() == [[[2 + 3, 0], [0 + 1, 0]]]


def test_attention_by_hand() -> None:
    """Two heads of one channel, three tokens: q of the first asks at tokens 0 and 2 for k · v,
    which is 2.

    k · v of the second is 0: k fires at token 1 alone, v at token 0. Then two channels in one head,
    where q asks at token 0 for channel 0, which fires in k at tokens 0 and 1: v[0] has 1 of these,
    v[1] both.
    """
    three = (Source("q"), Source("k", 2), Source("v"))
    fired = {name: np.zeros((3, 2, 1, 3), np.bool_) for name in "qkv"}
    fired["q"][1, :, 0] = [[1, 0, 1], [1, 1, 1]]
    fired["k"][0, :, 0] = [[1, 1, 0], [0, 1, 0]]
    fired["v"][1, :, 0] = [[1, 1, 1], [1, 0, 0]]
    assert not arrived(Input(Attention(heads=2), three), fired, 1)[2:].any()
    found = current_of(each := Input(Attention(heads=2), three), arrived(each, fired, 2))
    assert found.tolist() == [[[2, 0, 2]], [[0, 0, 0]]]
    fired["q"][1, :, 0] = [[1, 0, 0], [0, 0, 0]]
    fired["v"][1, :, 0] = [[0, 1, 1], [1, 1, 0]]
    found = current_of(each := Input(Attention(heads=1), three), arrived(each, fired, 2))
    assert found.tolist() == [[[1, 0, 0]], [[2, 0, 0]]]


@settings(max_examples=40)
@given(synapses())
def test_currents_are_those_of_torch(case: tuple[Input, NDArray[np.bool_]]) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    (each, spikes), maps = case, torch.tensor(case[1], dtype=torch.float64)[None]
    weight, synapse = torch.tensor(each.weight).double(), each.synapse
    pool = functional.max_pool2d if synapse.pooling == "max" else functional.avg_pool2d
    maps = pool(maps, synapse.pool)
    if isinstance(synapse, Dense):
        expected = functional.linear(maps.flatten(1), weight)[..., None, None]
    else:
        expected = functional.conv2d(maps, weight, stride=synapse.stride, padding=synapse.padding)
        expected = functional.max_pool2d(expected, *synapse.windows)
    np.testing.assert_allclose(
        current_of(each, spikes), expected[0].numpy(), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        synapse.currents(each, spikes),
        synapse.summed * expected[0].numpy(),
        rtol=1e-12,
        atol=1e-12,
    )


def test_currents_in_fixed_point_by_hand() -> None:
    """Sums of 2×2 spikes, 2 and 1, times 3; and -1 times the number 2 is the larger of -2 and
    -6.
    """
    spikes = np.array([[[1, 0, 0, 1], [0, 1, 0, 0]]], np.bool_)
    sums = current_of(Input(Conv(np.array([[[[3]]]], np.int8), pool=2)), spikes)
    assert (sums.dtype, sums.tolist()) == (np.int64, [[[6, 3]]])
    largest = Input(Conv(np.array([[[[-1]]]], np.int8), current_pool=(1, 2)))
    assert current_of(largest, np.array([[[2, 6]]], np.int8)).tolist() == [[[-2]]]
    assert current_of(Input(Identity()), spikes).tolist() == spikes.astype(float).tolist()


def test_places_are_multiplied_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "spikesam.backends.network.synapses.linear.ALONE", 180
    )  # parts of 90 places
    maps = np.arange(200.0).reshape(1, 10, 20)
    given = Input(np.array([2, -3], np.int8)[:, None, None, None])
    found = given.synapse.currents(given, maps)
    assert np.array_equal(found, np.concatenate([2 * maps, -3 * maps]))
