"""The paired comparison of two precisions, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spikesam.pipeline.measures.paired_accuracy import paired_accuracy

LABELS = np.array([0, 1], np.int32)


def test_two_seeds_of_two_images():
    # float32: 2 of 2 right, then 1 of 2; fixed: 1 of 2, then 1 of 2. Differences -0.5 and 0, deviation 0.5 / √2.
    found = paired_accuracy(np.array([[0, 1], [0, 0]]), np.array([[0, 0], [1, 1]]), LABELS)
    assert (found.float32, found.fixed, found.difference, found.seeds) == (0.75, 0.5, -0.25, 2)
    assert found.low == pytest.approx(-0.25 - 1.96 * 0.25)
    assert found.high == pytest.approx(-0.25 + 1.96 * 0.25)
    assert found.accuracy_by_seed == {"float32": [1.0, 0.5], "fixed": [0.5, 0.5]}


def test_one_seed_allows_no_interval():
    found = paired_accuracy(np.array([[0, 1]]), np.array([[0, 0]]), LABELS)
    assert (found.difference, found.low, found.high) == (-0.5, None, None)
