"""Axes named by a pattern: where each spike of a tensor stands in the raster."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikesam.pipeline.record.layouts import parse
from spikesam.recordings.errors import InputError


def no_grid(tokens: int | None) -> tuple[int, int]:
    raise AssertionError(f"{tokens} tokens were asked for")


def two_rows(tokens: int | None) -> tuple[int, int]:
    return 2, 3 if tokens is None else tokens // 2


@pytest.mark.parametrize(
    ("pattern", "place", "expected"),
    [
        # where a spike is in the tensor, and its (t, b, channel, row, column): 4 channels, 2 heads of 2; 2 × 3 tokens
        ("T B N C", (1, 0, 5, 3), (1, 0, 3, 1, 2)),
        ("T B C N", (1, 0, 3, 4), (1, 0, 3, 1, 1)),
        ("T B heads N d", (1, 2, 1, 5, 0), (1, 2, 2, 1, 2)),  # head 1 holds channels 2 and 3
        ("T B heads d N", (0, 2, 1, 1, 3), (0, 2, 3, 1, 0)),
        ("B T N heads d", (2, 1, 4, 0, 1), (1, 2, 1, 1, 1)),
        ("d T heads N B", (1, 1, 1, 4, 2), (1, 2, 3, 1, 1)),  # d stands first, so channel d · heads + head
        ("B N C", (2, 3, 1), (0, 2, 1, 1, 0)),
        ("T B H W C", (1, 0, 1, 2, 3), (1, 0, 3, 1, 2)),
        ("T B C", (1, 2, 3), (1, 2, 3, 0, 0)),
        ("T B N", (1, 2, 3), (1, 2, 0, 1, 0)),
    ],
)
def test_a_spike_is_where_its_axes_say(pattern: str, place: tuple[int, ...], expected: tuple[int, ...]) -> None:
    axes = parse(pattern)
    sizes = {"T": 2, "B": 3, "N": 6, "C": 4, "heads": 2, "d": 2, "H": 2, "W": 3}
    spikes = torch.zeros([sizes[name] for name in axes.names])
    spikes[place] = 1
    found = axes.arrange(spikes, {}, two_rows)
    assert found.nonzero().tolist() == [list(expected)]


def test_an_axis_that_holds_two_is_split_by_what_is_known() -> None:
    spikes = torch.zeros(6, 4, 5)  # 2 steps of 3 samples
    spikes[4, 1, 2] = 1  # step 1, sample 1
    assert parse("(T B) C x").arrange(spikes, {"T": 2, "B": 3}, no_grid).nonzero().tolist() == [[1, 1, 7, 0, 0]]
    assert parse("(T B) C x").arrange(spikes, {"B": 3}, no_grid).shape == (2, 3, 20, 1, 1)
    assert parse("(B T) C x").arrange(spikes, {"T": 2}, no_grid).nonzero().tolist() == [[0, 2, 7, 0, 0]]


def test_axes_at_the_end_are_read_in_memory_order() -> None:
    tokens = torch.arange(24.0).reshape(1, 1, 6, 4)  # 6 tokens of 4 channels
    reshaped = tokens.reshape(1, 1, 4, 6)  # not transposed
    assert torch.equal(
        parse("T B (N C)").arrange(reshaped, {}, two_rows), parse("T B N C").arrange(tokens, {}, two_rows)
    )


@given(st.permutations(["T", "B", "N", "heads", "d"]), st.integers(0, 99))
def test_no_spike_is_lost_whatever_the_order(order: list[str], seed: int) -> None:
    sizes = {"T": 2, "B": 3, "N": 6, "heads": 2, "d": 4}
    expected = torch.rand(2, 3, 2, 4, 6, generator=torch.Generator().manual_seed(seed)) < 0.5
    given_as = expected.permute([["T", "B", "heads", "d", "N"].index(name) for name in order])
    found = parse(" ".join(order)).arrange(given_as, {}, two_rows)
    channels = expected if order.index("heads") < order.index("d") else expected.transpose(2, 3)
    assert found.shape == (2, 3, 8, 2, 3)
    assert np.array_equal(found, channels.reshape(2, 3, 8, 2, 3))
    assert math.prod(sizes.values()) == found.numel()


@pytest.mark.parametrize(
    "pattern",
    ["", "T N C", "T B N N", "T B N H W", "T B C H", "T B 3 N", "(T B C", "T B) C", "T B ((N C))", "T () B", 5, None],
)
def test_what_is_no_pattern_is_refused(pattern: object) -> None:
    with pytest.raises(InputError, match=r"^axes: got .*, expected a name for each axis, such as 'T B heads N d'"):
        parse(pattern)


@pytest.mark.parametrize(
    ("pattern", "shape", "sizes", "message"),
    [
        ("T B N C", (2, 3, 6), {}, r"got shape \(2, 3, 6\), expected 4 axes, 'T B N C'; say with axes="),
        ("T B C", (2, 3, 6, 4), {}, "expected 3 axes, 'T B C'"),
        ("(T B) C x", (6, 4, 5), {}, r"got 6 for \(T B\) of '\(T B\) C x', expected all sizes but one .* known: none"),
        ("(T B) C x", (7, 4, 5), {"T": 2, "B": 3}, r"got 7 for \(T B\) .* known: T = 2, B = 3"),
        ("(T B) C x", (12, 4, 5), {"T": 2, "B": 3}, r"got 12 for \(T B\)"),
        ("T B (N C)", (2, 3, 25), {}, r"got 25 for \(N C\) .* known: N = 6"),
    ],
)
def test_axes_that_do_not_fit(pattern: str, shape: tuple[int, ...], sizes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse(pattern).arrange(torch.zeros(shape), sizes, two_rows)
    assert "\n" not in str(caught.value)
