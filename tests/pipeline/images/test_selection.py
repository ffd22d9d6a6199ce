"""Balanced orders and selection splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesam.pipeline.images.selection import balanced_order, split_selection
from spikesam.recordings.errors import InputError

some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)
seeds = st.integers(0, 2**32)


@given(some_labels, seeds)
def test_every_prefix_is_as_balanced_as_it_can_be(labels, seed):
    order = balanced_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    totals = np.bincount(labels, minlength=5)
    for n in range(1, len(labels) + 1):
        counts = np.bincount([labels[i] for i in order[:n]], minlength=5)
        unfinished = counts[counts < totals]
        # A class with images left is behind no other by more than the one of the current round.
        assert not len(unfinished) or counts.max() - unfinished.min() <= 1


def test_the_seed_decides():
    labels = [i % 3 for i in range(60)]
    assert np.array_equal(balanced_order(labels, 4), balanced_order(labels, 4))
    assert not np.array_equal(balanced_order(labels, 4), balanced_order(labels, 5))
    firsts = {labels[balanced_order(labels, seed)[0]] for seed in range(30)}
    assert firsts == {0, 1, 2}  # no class is always first


def test_unlabelled_images_keep_their_order_and_come_last():
    assert balanced_order([None] * 5, 3).tolist() == [0, 1, 2, 3, 4]
    order = balanced_order([None, 1, None, 0], 3)
    assert set(order[:2]) == {1, 3}
    assert order[2:].tolist() == [0, 2]


def test_nothing_gives_nothing():
    assert balanced_order([], 0).tolist() == []


@given(st.lists(st.integers(2, 12), min_size=1, max_size=5), st.floats(0.01, 0.99), seeds)
def test_a_split_takes_its_share_of_every_class(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(range(len(counts)), counts)).tolist()
    train, selection = split_selection(labels, fraction, seed)
    assert sorted([*train, *selection]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        taken = sum(labels[i] == label for i in selection)
        assert 1 <= taken <= count - 1
        assert abs(taken - fraction * count) <= 1


def test_a_tenth_by_hand():
    labels = [0] * 50 + [1] * 20
    train, selection = split_selection(labels, 0.1, 0)
    assert np.bincount(np.array(labels)[selection]).tolist() == [5, 2]
    assert (np.diff(train) > 0).all()
    assert not np.array_equal(selection, split_selection(labels, 0.1, 1)[1])


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        ([0, 0, 1, 1], 0.0, "selection fraction: got 0.0, expected more than 0 and less than 1"),
        ([0, None], 0.5, "got images without labels"),
        ([], 0.5, "got images without labels"),
        ([0, 0, 1], 0.5, "class 1 has one image, expected two or more"),
    ],
)
def test_what_cannot_be_split(labels, fraction, message):
    with pytest.raises(InputError, match=message):
        split_selection(labels, fraction, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed: got -1, expected 0 or more"):
        balanced_order([0, 1], -1)
